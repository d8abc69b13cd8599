// 1 where all logits are finite and the first largest one is the label's, else 0.
//#import "loss/logits.wgsl"

@group(1) @binding(3) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let seat = seatOf(group, local);
  let top = rankSample(seat);
  if (seat.stored && seat.lane == 0u) {
    let right = top.broken == 0u && top.index.x == labels[p.labelsBase + seat.sample];
    result[p.resultBase + seat.sample] = select(0u, 1u, right);
  }
}
