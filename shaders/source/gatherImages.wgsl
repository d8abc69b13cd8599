// Copies the samples of a batch out of a data set: result[i] = data[indices[start + i]]. An invocation copies RUN
// words, a workgroup's width apart: 4 pixels of a packed data set (bytes, lowest first, scaled to [0, 1]), one float,
// or four. A data set larger than a binding is gathered in slices, each of which copies the samples whose rows it
// holds.
//#import "step.wgsl"
const WX = 64u;
const RUN = 1u;
const START_PER_STEP = false; // p.start is a word of the step row, not the start itself

struct Params {
  batch: u32, words: u32, lastIndex: u32, lastRow: u32,
  sliceFirst: u32, sliceRows: u32, start: u32, dataBase: u32,
  indicesBase: u32,
}

//#region word
alias Word = u32;
alias Result = f32;
fn store(at: u32, word: Word) { result[at] = bitcast<f32>(word); }
//#endregion

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> data: array<Word>;
@group(1) @binding(2) var<storage, read> indices: array<u32>;
@group(1) @binding(3) var<storage, read_write> result: array<Result>;

// x: words of a sample; y and z: samples.
@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let image = group.z * 65535u + group.y;
  if (image >= p.batch) { return; }
  var start = p.start;
  if (START_PER_STEP) { start = stepU32(p.start); }
  // an index past the end takes the last row, in whichever slice that is
  let row = min(indices[p.indicesBase + min(start + image, p.lastIndex)], p.lastRow);
  if (row < p.sliceFirst || row >= p.sliceFirst + p.sliceRows) { return; }
  let source = p.dataBase + (row - p.sliceFirst) * p.words;
  let first = group.x * (WX * RUN);
  let end = min(first + WX * RUN, p.words);
  for (var at = first + local.x; at < end; at += WX) { store(image * p.words + at, data[source + at]); }
}
