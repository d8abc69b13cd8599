// The result of a product, written four numbers at a time.
@group(1) @binding(3) var<storage, read_write> c: array<vec4f>;

fn resultOne(at: u32, value: f32) { c[at / 4u][at % 4u] = value; }
fn resultFour(at: u32, four: vec4f) { c[at / 4u] = four; }
