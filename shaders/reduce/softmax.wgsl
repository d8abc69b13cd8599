// Softmax of each row of x [lines, size], or its logarithm. One workgroup per row.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
const LOG = false;

struct Params { lines: u32, size: u32, inner: u32, xBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = blockOf(group);
  if (row >= p.lines) { return; }
  let base = p.xBase + row * p.size;
  var largest = x[base];
  for (var k = lane; k < p.size; k += LANES) { largest = max(largest, x[base + k]); }
  largest = treeMax(lane, largest);
  var sum = 0.0;
  for (var k = lane; k < p.size; k += LANES) { sum += exp(x[base + k] - largest); }
  sum = treeSum(lane, sum);
  let shift = log(sum);
  for (var k = lane; k < p.size; k += LANES) {
    let value = x[base + k] - largest;
    result[p.resultBase + row * p.size + k] = select(exp(value) / sum, value - shift, LOG);
  }
}
