// The square root.

fn value(x: f32, p: vec4f) -> f32 { return sqrt(x); }
fn slope(x: f32, p: vec4f) -> f32 { return 0.5 / sqrt(x); }
