// The square.

fn value(x: f32, p: vec4f) -> f32 { return x * x; }
fn slope(x: f32, p: vec4f) -> f32 { return 2.0 * x; }
