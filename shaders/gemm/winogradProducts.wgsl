// The products of a Winograd convolution: M[t, row, column] = sum over k of U[t, k, row] V[t, k, column], one matrix
// product for each t. The sum runs over k. Each lane owns TM rows of TN vectors of four neighboring columns.
//#import "gemm/lanes.wgsl"

const TM = 16u; //#given rows of an invocation
const TN = 2u; //#given vectors of four columns of an invocation
const WX = 8u; //#given lanes of a workgroup
const SG = 8u; //#given lanes that share their loads of U
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given

struct Params { rows: u32, inner: u32, vectors: u32, tileColumns: u32, tileRows: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> u: array<f32>;
@group(1) @binding(2) var<storage, read> v: array<vec4f>;
@group(1) @binding(3) var<storage, read_write> m: array<vec4f>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u,
//#region lane
  @builtin(subgroup_invocation_id) lane: u32
//#endregion
) {
//#region laneless
//#endregion
  let firstVector = group.x * (WX * TN);
  let row0 = group.y * TM;
  var offset: array<u32, TN>;
  for (var j = 0u; j < TN; j++) {
    offset[j] = group.z * p.inner * p.vectors + min(firstVector + j * WX + local.x, p.vectors - 1u);
  }
  var rows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) {
    rows[g] = group.z * p.inner * p.rows + min(row0 + g * SG + (lane % SG), p.rows - 1u);
  }

  var acc: array<array<vec4f, TN>, TM>;
  for (var k = 0u; k < p.inner; k++) {
    var right: array<vec4f, TN>;
    for (var j = 0u; j < TN; j++) {
      right[j] = v[offset[j]];
      offset[j] += p.vectors;
    }
    // all loads before the products: a driver that branches in loads keeps the sums in place only in what is not
    // branched
    var left: array<f32, TM / SG>;
    for (var g = 0u; g < TM / SG; g++) { left[g] = u[rows[g] + k * p.rows]; }
    for (var g = 0u; g < TM / SG; g++) {
      for (var i = 0u; i < SG; i++) {
        let value = broadcast(left[g], lane, i);
        for (var j = 0u; j < TN; j++) { acc[g * SG + i][j] += value * right[j]; }
      }
    }
  }

  // Straight-line code takes results at constant places. Where a loop stays a loop, registers must not be addressed by
  // a variable, so the next column, and in it the next row, comes to the front instead. Not in straight-line code:
  // Mesa compiles registers that move in the loop that reads them wrong for AMD's GPUs.
  for (var j = 0u; j < select(p.tileColumns, TN, UNROLLED); j++) {
    var line: array<vec4f, TM>;
    for (var i = 0u; i < TM; i++) {
      if (UNROLLED) {
        line[i] = acc[i][j];
      } else {
        line[i] = acc[i][0];
        for (var t = 0u; t + 1u < TN; t++) { acc[i][t] = acc[i][t + 1u]; }
      }
    }
    let vector = firstVector + j * WX + local.x;
    if (vector < p.vectors) {
      for (var i = 0u; i < select(p.tileRows, TM, UNROLLED); i++) {
        var value = line[0];
        if (UNROLLED) {
          value = line[i];
        } else {
          for (var t = 0u; t + 1u < TM; t++) { line[t] = line[t + 1u]; }
        }
        if (row0 + i < p.rows) { m[(group.z * p.rows + row0 + i) * p.vectors + vector] = value; }
      }
    }
  }
}
