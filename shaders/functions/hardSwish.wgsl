// x min(max(x + 3, 0), 6) / 6.

fn value(x: f32, p: vec4f) -> f32 { return select(select(x * (x / 6.0 + 0.5), x, x >= 3.0), 0.0, x <= -3.0); }
fn slope(x: f32, p: vec4f) -> f32 { return select(select(x / 3.0 + 0.5, 1.0, x >= 3.0), 0.0, x <= -3.0); }
