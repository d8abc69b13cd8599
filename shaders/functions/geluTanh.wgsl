// GELU with tanh(sqrt(2 / pi) (x + 0.044715 x^3)) in place of the error function. 0.5 (1 + tanh u) is the logistic
// function of 2u.
//#import "functions/logistic.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return x * logistic(x * (1.59576912161 + 0.0713548162726 * x * x)); }
fn slope(x: f32, p: vec4f) -> f32 {
  let s = x * x;
  let u = x * (1.59576912161 + 0.0713548162726 * s);
  let y = logistic(u);
  return y + x * y * logistic(-u) * (1.59576912161 + 0.214064448818 * s);
}
