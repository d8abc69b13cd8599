// x, and 0 below zero.

fn value(x: f32, p: vec4f) -> f32 { return select(x, 0.0, x <= 0.0); }
fn slope(x: f32, p: vec4f) -> f32 { return select(0.0, 1.0, x > 0.0); }
