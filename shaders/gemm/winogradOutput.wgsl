// Outputs of a Winograd convolution: the OUT x OUT outputs A^T M A of each tile and row, and the pointwise operations
// behind them. An invocation owns one tile in 16 rows (channels), so whole words of the packed masks; each pixel of
// the tile has a slot for its word.
//#region method
//#import "gemm/winogradF4.wgsl"
//#endregion

const WX = 64u; //#given lanes of a workgroup, one tile each
const SLOTS = OUT * OUT;
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given

struct Params {
  rows: u32, columns: u32, pitch: u32, tilesH: u32,
  tilesW: u32, colsH: u32, colsW: u32, cBase: u32,
  cBatch: u32, cRow: u32, slots: u32,
//#region params
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> m: array<f32>;
@group(1) @binding(2) var<storage, read_write> c: array<f32>;
//#region bindings
//#endregion

// The place of one output value, handed to the epilogue; `index` counts elements of the whole tensor.
struct Place { channel: u32, image: u32, pixel: u32, index: u32, slot: u32 }

//#region epilogue
fn finish(value: f32, at: Place) -> f32 { return value; }
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  let firstChannel = id.y * 16u;
  if (column >= p.columns) { return; }
  let image = column / (p.tilesH * p.tilesW);
  let tile = column % (p.tilesH * p.tilesW);
  let y = tile / p.tilesW * OUT;
  let x = tile % p.tilesW * OUT;
  for (var slot = 0u; slot < select(p.slots, SLOTS, UNROLLED); slot++) {
    let pixel = (y + slot / OUT) * p.colsW + x + slot % OUT;
    if (y + slot / OUT < p.colsH && x + slot % OUT < p.colsW) {
//#region begin column
//#endregion
    }
  }
  for (var channel = firstChannel; channel < min(firstChannel + 16u, p.rows); channel++) {
    var lines: array<array<f32, OUT>, IN>;
    for (var h = 0u; h < IN; h++) {
      var line: array<f32, IN>;
      for (var w = 0u; w < IN; w++) { line[w] = m[((h * IN + w) * p.rows + channel) * p.pitch + column]; }
      lines[h] = outputLine(line);
    }
    var results: array<f32, SLOTS>;
    for (var w = 0u; w < OUT; w++) {
      var line: array<f32, IN>;
      for (var h = 0u; h < IN; h++) { line[h] = lines[h][w]; }
      let outputs = outputLine(line);
      for (var h = 0u; h < OUT; h++) { results[h * OUT + w] = outputs[h]; }
    }
    // As in gemm/winogradProducts: constant places, or the next result comes to the front.
    for (var slot = 0u; slot < select(p.slots, SLOTS, UNROLLED); slot++) {
      var value = results[0];
      if (UNROLLED) {
        value = results[slot];
      } else {
        for (var t = 0u; t + 1u < SLOTS; t++) { results[t] = results[t + 1u]; }
      }
      if (y + slot / OUT < p.colsH && x + slot % OUT < p.colsW) {
        let pixel = (y + slot / OUT) * p.colsW + x + slot % OUT;
        let index = image * p.cBatch + channel * p.cRow + pixel;
        c[p.cBase + index] = finish(value, Place(channel, image, pixel, index, slot));
      }
    }
  }
  for (var slot = 0u; slot < select(p.slots, SLOTS, UNROLLED); slot++) {
    let pixel = (y + slot / OUT) * p.colsW + x + slot % OUT;
    if (y + slot / OUT < p.colsH && x + slot % OUT < p.colsW) {
//#region end column
//#endregion
    }
  }
}
