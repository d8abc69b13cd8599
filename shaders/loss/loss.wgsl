// Per-sample losses of logits [N, K].
//#import "loss/logits.wgsl"
//#region kind
//#import "loss/crossEntropy.wgsl"
//#endregion

//#region targets
fn targetOf(seat: Seat) -> u32 { return 0u; }
//#endregion

@group(1) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let seat = seatOf(group, local);
  let label = labels[p.labelsBase + seat.sample];
  let top = rankSample(seat);
  var sum = 0.0;
  if (NEEDS_SUM) { sum = sumSample(seat, top, top.index.x); }
  var rank4 = Ranked(0.0, NO_INDEX);
  if (NEEDS_FOURTH) { rank4 = fourthOf(seat, top); }
  let goal = min(targetOf(seat), p.classes - 1u);
  let sample = Sample(top, label, logitOf(seat, min(label, p.classes - 1u)), sum, goal, logitOf(seat, goal), rank4);
  if (seat.stored && seat.lane == 0u) { result[p.resultBase + seat.sample] = orBroken(lossOf(sample), top); }
}
