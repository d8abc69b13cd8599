// Packs the right operand of a product: C[k, j] = A[j, k], line by line, for operands whose neighbors lie along the
// contraction. An invocation turns 4 columns by 4 products by straight-line code. Those past an end repeat the last
// ones and store the same numbers.
//#region left
//#import "gemm/left.wgsl"
//#endregion
const WX = 8u; // lanes of a workgroup, along the contraction

struct Params { columns: u32, inner: u32, aBase: u32, aColumn: u32, cLine: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(2) var<storage, read_write> c: array<vec4f>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let j = group.x * 4u;
  let k = min((group.y * WX + local.x) * 4u, (p.inner - 1u) / 4u * 4u);
  let last = p.columns - 1u;
  let v0 = leftFour(p.aBase + j * p.aColumn + k);
  let v1 = leftFour(p.aBase + min(j + 1u, last) * p.aColumn + k);
  let v2 = leftFour(p.aBase + min(j + 2u, last) * p.aColumn + k);
  let v3 = leftFour(p.aBase + min(j + 3u, last) * p.aColumn + k);
  // lines that there are not, behind an inner length that is no multiple of four, have a place in C
  let to = (k * p.cLine + j) / 4u;
  let line = p.cLine / 4u;
  c[to] = vec4f(v0.x, v1.x, v2.x, v3.x);
  c[to + line] = vec4f(v0.y, v1.y, v2.y, v3.y);
  c[to + 2u * line] = vec4f(v0.z, v1.z, v2.z, v3.z);
  c[to + 3u * line] = vec4f(v0.w, v1.w, v2.w, v3.w);
}
