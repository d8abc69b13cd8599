// The magnitude; its slope at zero is 0.

fn value(x: f32, p: vec4f) -> f32 { return abs(x); }
fn slope(x: f32, p: vec4f) -> f32 { return sign(x); }
