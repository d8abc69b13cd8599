// p.x x + p.y.

fn value(x: f32, p: vec4f) -> f32 { return p.x * x + p.y; }
fn slope(x: f32, p: vec4f) -> f32 { return p.x; }
