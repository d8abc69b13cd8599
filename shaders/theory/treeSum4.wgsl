// Fixed-order sum of vec4f over a workgroup of LANES invocations; every invocation gets the result. From uniform
// control flow only.
const LANES = 64u; // a power of two
var<workgroup> treeValues: array<vec4f, LANES>;

fn treeSum4(lane: u32, value: vec4f) -> vec4f {
  treeValues[lane] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { treeValues[lane] += treeValues[lane + width]; }
  }
  return workgroupUniformLoad(&treeValues[0]);
}
