// The line p.x x + p.y between 0 and 1.

fn value(x: f32, p: vec4f) -> f32 {
  let y = p.x * x + p.y;
  return select(select(y, 1.0, y >= 1.0), 0.0, y <= 0.0);
}
fn slope(x: f32, p: vec4f) -> f32 {
  let y = p.x * x + p.y;
  return select(0.0, p.x, y > 0.0 && y < 1.0);
}
