// The plain product that others are measured by: C = A B of square float32 matrices whose size is a multiple of 64.
// Every invocation keeps an 8 x 8 register tile, written out because an indexed array would live in memory; no
// bounds, workgroup memory, subgroups or epilogue.
struct Params {
  size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;

@compute @workgroup_size(8, 8)
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(workgroup_id) group: vec3u,
) {
  let size = params.size;
  let width = size / 4;
  let row = id.y * 8;
  let column = group.x * 16 + local.x;
  let first = row * size;
  var l0 = vec4f();
  var r0 = vec4f();
  var l1 = vec4f();
  var r1 = vec4f();
  var l2 = vec4f();
  var r2 = vec4f();
  var l3 = vec4f();
  var r3 = vec4f();
  var l4 = vec4f();
  var r4 = vec4f();
  var l5 = vec4f();
  var r5 = vec4f();
  var l6 = vec4f();
  var r6 = vec4f();
  var l7 = vec4f();
  var r7 = vec4f();
  for (var k = 0u; k < size; k++) {
    let left = b[k * width + column];
    let right = b[k * width + column + 8];
    let a0 = a[first + 0 * size + k];
    let a1 = a[first + 1 * size + k];
    let a2 = a[first + 2 * size + k];
    let a3 = a[first + 3 * size + k];
    let a4 = a[first + 4 * size + k];
    let a5 = a[first + 5 * size + k];
    let a6 = a[first + 6 * size + k];
    let a7 = a[first + 7 * size + k];
    l0 += a0 * left;
    r0 += a0 * right;
    l1 += a1 * left;
    r1 += a1 * right;
    l2 += a2 * left;
    r2 += a2 * right;
    l3 += a3 * left;
    r3 += a3 * right;
    l4 += a4 * left;
    r4 += a4 * right;
    l5 += a5 * left;
    r5 += a5 * right;
    l6 += a6 * left;
    r6 += a6 * right;
    l7 += a7 * left;
    r7 += a7 * right;
  }
  let place = row * width + column;
  c[place + 0 * width] = l0;
  c[place + 0 * width + 8] = r0;
  c[place + 1 * width] = l1;
  c[place + 1 * width + 8] = r1;
  c[place + 2 * width] = l2;
  c[place + 2 * width + 8] = r2;
  c[place + 3 * width] = l3;
  c[place + 3 * width + 8] = r3;
  c[place + 4 * width] = l4;
  c[place + 4 * width + 8] = r4;
  c[place + 5 * width] = l5;
  c[place + 5 * width + 8] = r5;
  c[place + 6 * width] = l6;
  c[place + 6 * width + 8] = r6;
  c[place + 7 * width] = l7;
  c[place + 7 * width + 8] = r7;
}
