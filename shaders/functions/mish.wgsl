// x tanh(log(1 + exp x)).
//#import "functions/softLogarithm.wgsl"
//#import "functions/tangent.wgsl"
//#import "functions/logistic.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return x * tangent(softLogarithm(x)); }
fn slope(x: f32, p: vec4f) -> f32 {
  let t = tangent(softLogarithm(x));
  return t + x * (1.0 - t * t) * logistic(x);
}
