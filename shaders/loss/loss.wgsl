// Per-sample losses of logits [N, K].
//#import "loss/logits.wgsl"
//#region kind
//#import "loss/crossEntropy.wgsl"
//#endregion

@group(1) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let seat = seatOf(group, local);
  let label = labels[p.labelsBase + seat.sample];
  let top = rankSample(seat);
  var sum = 0.0;
  if (NEEDS_SUM) { sum = sumSample(seat, top.value.x, top.index.x); }
  let sample = Sample(top, label, logitOf(seat, min(label, p.classes - 1u)), sum);
  if (seat.stored && seat.lane == 0u) { result[p.resultBase + seat.sample] = lossOf(sample); }
}
