// Gradient of per-sample losses with respect to the logits [N, K], times `scale`.
//#import "loss/logits.wgsl"
//#region kind
//#import "loss/crossEntropy.wgsl"
//#endregion

//#region targets
fn targetOf(seat: Seat) -> u32 { return 0u; }
//#endregion

@group(1) @binding(3) var<storage, read_write> result: array<f32>;

// Whether the label's lead over the other classes counts as 27 at most, so that gradients of images that the network
// is certain of do not become denormal on their way back. Smaller leads give the same bits with and without.
const RAISED = false;
const MOST_LEAD = 27.0;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let seat = seatOf(group, local);
  let label = labels[p.labelsBase + seat.sample];
  var top = rankSample(seat);
  var labelLogit = logitOf(seat, min(label, p.classes - 1u));
  if (RAISED && top.index.x == label) {
    labelLogit = min(top.value.x, top.value.y + MOST_LEAD);
    top.value.x = labelLogit;
  }
  var sum = 0.0;
  if (NEEDS_SUM) { sum = sumSample(seat, top, label); }
  var rank4 = Ranked(0.0, NO_INDEX);
  if (NEEDS_FOURTH) { rank4 = fourthOf(seat, top); }
  let goal = min(targetOf(seat), p.classes - 1u);
  let sample = Sample(top, label, labelLogit, sum, goal, logitOf(seat, goal), rank4);
  if (seat.stored) {
    for (var k = seat.lane; k < p.classes; k += LANES) {
      let gradient = p.scale * gradientOf(sample, k, logitOf(seat, k));
      result[p.resultBase + seat.sample * p.classes + k] = orBroken(gradient, top);
    }
  }
}
