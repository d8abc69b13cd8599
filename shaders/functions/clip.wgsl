// x between p.x and p.y.

fn value(x: f32, p: vec4f) -> f32 { return select(select(x, p.y, x >= p.y), p.x, x <= p.x); }
fn slope(x: f32, p: vec4f) -> f32 { return select(0.0, 1.0, x > p.x && x < p.y); }
