// log(1 + exp(p.x x)) / p.x.
//#import "functions/softLogarithm.wgsl"
//#import "functions/logistic.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return softLogarithm(p.x * x) / p.x; }
fn slope(x: f32, p: vec4f) -> f32 { return logistic(p.x * x); }
