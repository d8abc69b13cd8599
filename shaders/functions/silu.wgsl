// x times the logistic function of p.x x.
//#import "functions/logistic.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return x * logistic(p.x * x); }
fn slope(x: f32, p: vec4f) -> f32 {
  let s = logistic(p.x * x);
  return s + p.x * x * s * logistic(-p.x * x);
}
