// The hyperbolic tangent. Its slope is 4 s(2 x) s(-2 x) with the logistic function s: 1 - y y has no digits left where
// y is next to 1.
//#import "functions/logistic.wgsl"
//#import "functions/tangent.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return tangent(x); }
fn slope(x: f32, p: vec4f) -> f32 { return 4.0 * logistic(2.0 * x) * logistic(-2.0 * x); }
