// Inputs of a Winograd convolution: V[t, k, column] = (B^T d B)[t] of each tile d of IN x IN inputs, t counting the
// products of a tile and column the tiles: those of an image row by row, then the next image.
//#region method
//#import "gemm/winogradF4.wgsl"
//#endregion

const WX = 64u; //#given lanes of a workgroup, one tile each
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given

struct Params {
  inner: u32, columns: u32, pitch: u32, tilesH: u32,
  tilesW: u32, sourceH: u32, sourceW: u32, bBase: u32,
  originH: i32, originW: i32, bBatch: u32, bInner: u32,
  bH: u32, lines: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> b: array<f32>;
@group(1) @binding(2) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  let k = id.y;
  if (column >= p.columns) { return; }
  let image = column / (p.tilesH * p.tilesW);
  let tile = column % (p.tilesH * p.tilesW);
  let y = i32(tile / p.tilesW * OUT) + p.originH;
  let x = i32(tile % p.tilesW * OUT) + p.originW;
  let base = p.bBase + image * p.bBatch + k * p.bInner;
  var lines: array<array<f32, IN>, IN>;
  for (var h = 0u; h < IN; h++) {
    let row = y + i32(h);
    let rowInside = row >= 0 && row < i32(p.sourceH);
    let start = i32(base) + select(0, row, rowInside) * i32(p.bH) + x;
    var line: array<f32, IN>;
    for (var w = 0u; w < IN; w++) {
      let inside = rowInside && x + i32(w) >= 0 && x + i32(w) < i32(p.sourceW);
      // an index outside the row or the buffer loads some value of the buffer, which is not used
      line[w] = select(0.0, b[u32(start + i32(w))], inside);
    }
    lines[h] = inputLine(line);
  }
  for (var w = 0u; w < IN; w++) {
    var line: array<f32, IN>;
    for (var h = 0u; h < IN; h++) { line[h] = lines[h][w]; }
    var transformed = inputLine(line);
    // As in gemm/winogradProducts: constant places, or the next value comes to the front.
    for (var h = 0u; h < select(p.lines, IN, UNROLLED); h++) {
      var value = transformed[0];
      if (UNROLLED) {
        value = transformed[h];
      } else {
        for (var t = 0u; t + 1u < IN; t++) { transformed[t] = transformed[t + 1u]; }
      }
      v[((h * IN + w) * p.inner + k) * p.pitch + column] = value;
    }
  }
}
