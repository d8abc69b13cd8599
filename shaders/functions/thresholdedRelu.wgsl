// x where it is above p.x, else 0.

fn value(x: f32, p: vec4f) -> f32 { return select(x, 0.0, x <= p.x); }
fn slope(x: f32, p: vec4f) -> f32 { return select(0.0, 1.0, x > p.x); }
