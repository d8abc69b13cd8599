// x / (1 + |x|).

fn value(x: f32, p: vec4f) -> f32 { return x / (1.0 + abs(x)); }
fn slope(x: f32, p: vec4f) -> f32 {
  let d = 1.0 + abs(x);
  return 1.0 / (d * d);
}
