// p.y times ELU with p.x.
//#import "functions/exponential.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return p.y * select(x, p.x * exponentialLessOne(min(x, 0.0)), x <= 0.0); }
fn slope(x: f32, p: vec4f) -> f32 { return p.y * select(p.x * exp(min(x, 0.0)), 1.0, x > 0.0); }
