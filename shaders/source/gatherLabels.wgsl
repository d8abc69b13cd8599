// result[i] = labels[indices[start + i]]
//#import "step.wgsl"
const WX = 64u;
const START_PER_STEP = false; // p.start is a word of the step row, not the start itself

struct Params {
  batch: u32, lastIndex: u32, lastRow: u32, start: u32, labelsBase: u32, indicesBase: u32, resultBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> labels: array<u32>;
@group(1) @binding(2) var<storage, read> indices: array<u32>;
@group(1) @binding(3) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) global: vec3u) {
  let i = global.x;
  if (i >= p.batch) { return; }
  var start = p.start;
  if (START_PER_STEP) { start = stepU32(p.start); }
  let row = min(indices[p.indicesBase + min(start + i, p.lastIndex)], p.lastRow);
  result[p.resultBase + i] = labels[p.labelsBase + row];
}
