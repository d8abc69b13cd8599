// x, and p.x x below zero.

fn value(x: f32, p: vec4f) -> f32 { return select(x, p.x * x, x <= 0.0); }
fn slope(x: f32, p: vec4f) -> f32 { return select(p.x, 1.0, x > 0.0); }
