// The square root of a sum of squares, whose slope at zero counts as zero.

fn value(x: f32, p: vec4f) -> f32 { return sqrt(x); }
fn slope(x: f32, p: vec4f) -> f32 { return select(0.0, 0.5 / sqrt(x), x > 0.0); }
