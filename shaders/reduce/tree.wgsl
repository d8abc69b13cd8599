// Fixed-order reductions over a workgroup of LANES invocations, through workgroup memory: the order of a sum depends on
// LANES only. Every invocation gets the result. To be called from uniform control flow.
const LANES = 256u; // a power of two
var<workgroup> treeValues: array<f32, LANES>;

fn treeSum(lane: u32, value: f32) -> f32 {
  treeValues[lane] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { treeValues[lane] += treeValues[lane + width]; }
  }
  return workgroupUniformLoad(&treeValues[0]);
}

fn treeMax(lane: u32, value: f32) -> f32 {
  treeValues[lane] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { treeValues[lane] = max(treeValues[lane], treeValues[lane + width]); }
  }
  return workgroupUniformLoad(&treeValues[0]);
}
