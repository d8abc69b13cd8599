// The right operand of a product, read four numbers at a time.
@group(1) @binding(2) var<storage, read> b: array<vec4f>;

fn rightOne(at: u32) -> f32 { return b[at / 4u][at % 4u]; }
fn rightFour(at: u32) -> vec4f { return b[at / 4u]; }
