// Fixed-order reductions over a workgroup of LANES invocations, through workgroup memory: the order of a sum depends on
// LANES only. Every invocation gets the result. To be called from uniform control flow.
//#import "elementwise/finite.wgsl"
const LANES = 256u; // a power of two
var<workgroup> treeValues: array<f32, LANES>;
var<workgroup> treeWidth: u32;

// Half the lanes, as a value the compiler does not know: drivers take long over an unrolled tree with its barriers.
fn treeHalf(lane: u32) -> u32 {
  if (lane == 0u) { treeWidth = LANES / 2u; }
  return workgroupUniformLoad(&treeWidth);
}

fn treeSum(lane: u32, value: f32) -> f32 {
  treeValues[lane] = value;
  for (var width = treeHalf(lane); width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { treeValues[lane] += treeValues[lane + width]; }
  }
  return workgroupUniformLoad(&treeValues[0]);
}

// NaN counts as larger than everything; max() may pass over it.
fn largerOf(a: f32, b: f32) -> f32 { return select(max(a, b), a + b, isNaN(a) || isNaN(b)); }

fn treeMax(lane: u32, value: f32) -> f32 {
  treeValues[lane] = value;
  for (var width = treeHalf(lane); width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { treeValues[lane] = largerOf(treeValues[lane], treeValues[lane + width]); }
  }
  return workgroupUniformLoad(&treeValues[0]);
}
