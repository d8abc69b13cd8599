// The exponential function.

fn value(x: f32, p: vec4f) -> f32 { return exp(x); }
fn slope(x: f32, p: vec4f) -> f32 { return exp(x); }
