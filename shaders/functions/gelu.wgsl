// x times the distribution function of the standard normal distribution.
//#import "functions/error.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return 0.5 * x * (1.0 + errorFunction(0.70710678119 * x)); }
fn slope(x: f32, p: vec4f) -> f32 {
  return 0.5 * (1.0 + errorFunction(0.70710678119 * x)) + 0.39894228040 * x * exp(-0.5 * x * x);
}
