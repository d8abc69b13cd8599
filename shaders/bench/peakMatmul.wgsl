// Ceiling of arithmetic: C = A B of square float32 matrices whose size is a multiple of 64. Every invocation keeps an 8 x 8
// register tile; no bounds, no workgroup memory, no epilogue: what a general kernel can at best approach.
struct Params {
  size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let size = params.size;
  let row = id.y * 8;
  let column = id.x * 2;
  var sum: array<array<vec4f, 2>, 8>;
  for (var k = 0u; k < size; k++) {
    let left = b[k * size / 4 + column];
    let right = b[k * size / 4 + column + 1];
    for (var i = 0u; i < 8; i++) {
      let value = a[(row + i) * size + k];
      sum[i][0] = fma(vec4f(value), left, sum[i][0]);
      sum[i][1] = fma(vec4f(value), right, sum[i][1]);
    }
  }
  for (var i = 0u; i < 8; i++) {
    c[(row + i) * size / 4 + column] = sum[i][0];
    c[(row + i) * size / 4 + column + 1] = sum[i][1];
  }
}
