// The hyperbolic tangent.
//#import "functions/tangent.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return tangent(x); }
fn slope(x: f32, p: vec4f) -> f32 {
  let y = tangent(x);
  return 1.0 - y * y;
}
