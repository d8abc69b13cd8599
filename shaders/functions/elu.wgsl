// x, and p.x (exp x - 1) below zero.
//#import "functions/exponential.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return select(x, p.x * exponentialLessOne(min(x, 0.0)), x <= 0.0); }
fn slope(x: f32, p: vec4f) -> f32 { return select(p.x * exp(min(x, 0.0)), 1.0, x > 0.0); }
