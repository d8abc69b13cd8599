// Copies the samples of a batch out of a data set: result[i] = data[indices[start + i]]. An invocation copies one word:
// 4 pixels of a packed data set (bytes, lowest first, scaled to [0, 1]), or one float.
// A data set larger than a binding is gathered in slices, each of which copies the samples whose rows it holds.
//#import "step.wgsl"
//#import "elementwise/grid.wgsl"
const WX = 64u;
const PACKED = true;
const START_PER_STEP = false; // p.start is a word of the step row, not the start itself

struct Params {
  batch: u32, words: u32, lastIndex: u32, lastRow: u32,
  sliceFirst: u32, sliceRows: u32, start: u32, dataBase: u32,
  indicesBase: u32, resultBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> data: array<u32>;
@group(1) @binding(2) var<storage, read> indices: array<u32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let at = blockOf(group) * WX + local.x;
  let image = at / p.words;
  if (image >= p.batch) { return; }
  var start = p.start;
  if (START_PER_STEP) { start = stepU32(p.start); }
  // an index past the end takes the last row, in whichever slice that is
  let row = min(indices[p.indicesBase + min(start + image, p.lastIndex)], p.lastRow);
  if (row < p.sliceFirst || row >= p.sliceFirst + p.sliceRows) { return; }
  let word = data[p.dataBase + (row - p.sliceFirst) * p.words + at % p.words];
  if (PACKED) {
    for (var i = 0u; i < 4u; i++) {
      // the product with the rounded 1/255 is the same on every device and gives 1 for 255; a quotient need not
      result[p.resultBase + 4u * at + i] = f32((word >> (8u * i)) & 255u) * (1.0 / 255.0);
    }
  } else {
    result[p.resultBase + at] = bitcast<f32>(word);
  }
}
