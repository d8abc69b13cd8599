// Gradient of the softmax y of each row [lines, size]: y (g - sum of g y); of the log-softmax: g - exp(y) (sum of g).
// One workgroup per row.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
const LOG = false;

struct Params { lines: u32, size: u32, inner: u32, gBase: u32, yBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> g: array<f32>;
@group(1) @binding(2) var<storage, read> y: array<f32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = blockOf(group);
  if (row >= p.lines) { return; }
  let first = row * p.size;
  var sum = 0.0;
  for (var k = lane; k < p.size; k += LANES) {
    let gradient = g[p.gBase + first + k];
    if (LOG) { sum += gradient; } else { sum += gradient * y[p.yBase + first + k]; }
  }
  sum = treeSum(lane, sum);
  for (var k = lane; k < p.size; k += LANES) {
    let gradient = g[p.gBase + first + k];
    let value = y[p.yBase + first + k];
    if (LOG) {
      result[p.resultBase + first + k] = gradient - exp(value) * sum;
    } else {
      result[p.resultBase + first + k] = value * (gradient - sum);
    }
  }
}
