// The cosine.

fn value(x: f32, p: vec4f) -> f32 { return cos(x); }
fn slope(x: f32, p: vec4f) -> f32 { return -sin(x); }
