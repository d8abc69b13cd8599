// The logistic function.
//#import "functions/logistic.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return logistic(x); }
fn slope(x: f32, p: vec4f) -> f32 { return logistic(x) * logistic(-x); }
