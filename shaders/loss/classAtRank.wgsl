// The class of a rank among the classes other than the label: the one that `rank - 1` others come before.
//#import "step.wgsl"
//#import "elementwise/grid.wgsl"
//#import "loss/ranks.wgsl"
const WX = 64u;
const RANK_PER_STEP = false; // p.rank is a word of the step row, not the rank itself

struct Params { batch: u32, classes: u32, rank: u32, logitsBase: u32, labelsBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> logits: array<f32>;
@group(1) @binding(2) var<storage, read> labels: array<u32>;
@group(1) @binding(3) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  let sample = index / p.classes;
  if (sample >= p.batch) { return; }
  let k = index % p.classes;
  let label = labels[p.labelsBase + sample];
  let base = p.logitsBase + sample * p.classes;
  let own = logits[base + k];
  var rank = p.rank;
  if (RANK_PER_STEP) { rank = stepU32(p.rank); }
  var ahead = 1u;
  for (var other = 0u; other < p.classes; other++) {
    if (other != label && before(logits[base + other], other, own, k)) { ahead++; }
  }
  if (k != label && ahead == rank) { result[p.resultBase + sample] = k; }
}
