// 1 / x.

fn value(x: f32, p: vec4f) -> f32 { return 1.0 / x; }
fn slope(x: f32, p: vec4f) -> f32 { return -1.0 / (x * x); }
