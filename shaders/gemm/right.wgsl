// The right operand of a product, read number by number.
@group(1) @binding(2) var<storage, read> b: array<f32>;

fn rightOne(at: u32) -> f32 { return b[at]; }
fn rightFour(at: u32) -> vec4f { return vec4f(b[at], b[at + 1u], b[at + 2u], b[at + 3u]); }
