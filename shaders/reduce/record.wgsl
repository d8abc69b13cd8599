// Appends a batch to the log: log[row] = (sum of the losses, number of correct samples). One workgroup.
//#import "step.wgsl"
//#import "reduce/tree.wgsl"
const ROW_PER_STEP = false; // p.row is a word of the step row, not the row itself

struct Params { batch: u32, rows: u32, row: u32, lossBase: u32, correctBase: u32, historyBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> loss: array<f32>;
@group(1) @binding(2) var<storage, read> correct: array<u32>;
@group(1) @binding(3) var<storage, read_write> history: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var row = p.row;
  if (ROW_PER_STEP) { row = stepU32(p.row); }
  var total = 0.0;
  var hits = 0.0;
  for (var i = lane; i < p.batch; i += LANES) {
    total += loss[p.lossBase + i];
    hits += f32(correct[p.correctBase + i]);
  }
  total = treeSum(lane, total);
  hits = treeSum(lane, hits);
  if (lane == 0u && row < p.rows) {
    history[p.historyBase + 2u * row] = total;
    history[p.historyBase + 2u * row + 1u] = hits;
  }
}
