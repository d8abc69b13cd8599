// The result of a product, written number by number.
@group(1) @binding(3) var<storage, read_write> c: array<f32>;

fn resultOne(at: u32, value: f32) { c[at] = value; }
fn resultFour(at: u32, four: vec4f) { for (var i = 0u; i < 4u; i++) { c[at + i] = four[i]; } }
