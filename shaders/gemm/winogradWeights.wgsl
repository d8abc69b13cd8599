// Weights of a Winograd convolution: U[t, k, row] = (G g G^T)[t] of each 3 x 3 kernel g, t counting the products of a
// tile.
//#region method
//#import "gemm/winogradF4.wgsl"
//#endregion

const WX = 64u; //#given lanes of a workgroup, one kernel each
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given

struct Params {
  rows: u32, inner: u32, aBase: u32, aRow: u32,
  aInner: u32, aTapH: i32, aTapW: i32, lines: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> a: array<f32>;
@group(1) @binding(2) var<storage, read_write> u: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  let k = id.y;
  if (row >= p.rows) { return; }
  let base = i32(p.aBase + row * p.aRow + k * p.aInner);
  var lines: array<array<f32, IN>, 3>;
  for (var h = 0u; h < 3u; h++) {
    var taps: array<f32, 3>;
    for (var w = 0u; w < 3u; w++) { taps[w] = a[u32(base + i32(h) * p.aTapH + i32(w) * p.aTapW)]; }
    lines[h] = weightLine(taps);
  }
  for (var w = 0u; w < IN; w++) {
    var column = weightLine(array<f32, 3>(lines[0][w], lines[1][w], lines[2][w]));
    // As in gemm/winogradProducts: constant places, or the next value comes to the front.
    for (var h = 0u; h < select(p.lines, IN, UNROLLED); h++) {
      var value = column[0];
      if (UNROLLED) {
        value = column[h];
      } else {
        for (var t = 0u; t + 1u < IN; t++) { column[t] = column[t + 1u]; }
      }
      u[((h * IN + w) * p.inner + k) * p.rows + row] = value;
    }
  }
}
