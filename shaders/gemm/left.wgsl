// The left operand of a product, read number by number.
@group(1) @binding(1) var<storage, read> a: array<f32>;

fn leftOne(at: u32) -> f32 { return a[at]; }
fn leftFour(at: u32) -> vec4f { return vec4f(a[at], a[at + 1u], a[at + 2u], a[at + 3u]); }
