// Gradient of per-sample losses with respect to the logits [N, K], times `scale`.
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
  if (NEEDS_SUM) { sum = sumSample(seat, top.value.x, label); }
  let sample = Sample(top, label, logitOf(seat, min(label, p.classes - 1u)), sum);
  if (seat.stored) {
    for (var k = seat.lane; k < p.classes; k += LANES) {
      result[p.resultBase + seat.sample * p.classes + k] = p.scale * gradientOf(sample, k, logitOf(seat, k));
    }
  }
}
