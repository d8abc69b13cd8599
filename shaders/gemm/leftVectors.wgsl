// The left operand of a product, read four numbers at a time.
@group(1) @binding(1) var<storage, read> a: array<vec4f>;

fn leftOne(at: u32) -> f32 { return a[at / 4u][at % 4u]; }
fn leftFour(at: u32) -> vec4f { return a[at / 4u]; }
