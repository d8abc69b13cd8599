// Log-softmax of each row of x [N, K]. One workgroup per row.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"

struct Params { batch: u32, classes: u32, xBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = blockOf(group);
  if (row >= p.batch) { return; }
  let base = p.xBase + row * p.classes;
  var largest = x[base];
  for (var k = lane; k < p.classes; k += LANES) { largest = max(largest, x[base + k]); }
  largest = treeMax(lane, largest);
  var sum = 0.0;
  for (var k = lane; k < p.classes; k += LANES) { sum += exp(x[base + k] - largest); }
  let shift = log(treeSum(lane, sum));
  for (var k = lane; k < p.classes; k += LANES) {
    result[p.resultBase + row * p.classes + k] = (x[base + k] - largest) - shift;
  }
}
