// Gradient of the log-softmax y of each row [N, K]: g - exp(y) (sum of g). One workgroup per row.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"

struct Params { batch: u32, classes: u32, gBase: u32, yBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> g: array<f32>;
@group(1) @binding(2) var<storage, read> y: array<f32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = blockOf(group);
  if (row >= p.batch) { return; }
  let first = row * p.classes;
  var sum = 0.0;
  for (var k = lane; k < p.classes; k += LANES) { sum += g[p.gBase + first + k]; }
  sum = treeSum(lane, sum);
  for (var k = lane; k < p.classes; k += LANES) {
    result[p.resultBase + first + k] = g[p.gBase + first + k] - exp(y[p.yBase + first + k]) * sum;
  }
}
