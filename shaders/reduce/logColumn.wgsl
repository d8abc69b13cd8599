// Writes a batch's losses and margins into one column of their logs [N, rows]: an invocation per sample, however long
// the logs are. A column outside is dropped.
//#import "elementwise/grid.wgsl"
//#import "step.wgsl"
const WX = 64u;
const COLUMN_PER_STEP = false; // p.column is a word of the step row, not the column itself

struct Params {
  batch: u32, rows: u32, column: u32, lossBase: u32, marginBase: u32, lossesBase: u32, marginsBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> loss: array<f32>;
@group(1) @binding(2) var<storage, read> margin: array<f32>;
@group(1) @binding(3) var<storage, read_write> losses: array<f32>;
@group(1) @binding(4) var<storage, read_write> margins: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sample = blockOf(group) * WX + local;
  var column = p.column;
  if (COLUMN_PER_STEP) { column = stepU32(p.column); }
  if (sample >= p.batch || column >= p.rows) { return; }
  losses[p.lossesBase + sample * p.rows + column] = loss[p.lossBase + sample];
  margins[p.marginsBase + sample * p.rows + column] = margin[p.marginBase + sample];
}
