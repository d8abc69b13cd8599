// x between 0 and 6.

fn value(x: f32, p: vec4f) -> f32 { return select(select(x, 6.0, x >= 6.0), 0.0, x <= 0.0); }
fn slope(x: f32, p: vec4f) -> f32 { return select(0.0, 1.0, x > 0.0 && x < 6.0); }
