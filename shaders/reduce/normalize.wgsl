// (x - mean) / sqrt(variance + epsilon) of each row of x [rows, size]; without CENTER x / sqrt(mean of x^2 + epsilon).
// One workgroup per row. The variance is that of the differences from the mean, so that large means cost no digits.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
const CENTER = true;

struct Params { rows: u32, size: u32, epsilon: f32, xBase: u32, yBase: u32, meanBase: u32, scaleBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(3) var<storage, read_write> mean: array<f32>;
@group(1) @binding(4) var<storage, read_write> scale: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = blockOf(group);
  if (row >= p.rows) { return; }
  let base = p.xBase + row * p.size;
  var middle = 0.0;
  if (CENTER) {
    var sum = 0.0;
    for (var k = lane; k < p.size; k += LANES) { sum += x[base + k]; }
    middle = treeSum(lane, sum) / f32(p.size);
  }
  var squares = 0.0;
  for (var k = lane; k < p.size; k += LANES) {
    let difference = x[base + k] - middle;
    squares += difference * difference;
  }
  let factor = 1.0 / sqrt(treeSum(lane, squares) / f32(p.size) + p.epsilon);
  for (var k = lane; k < p.size; k += LANES) { y[p.yBase + row * p.size + k] = (x[base + k] - middle) * factor; }
  if (lane == 0u) {
    mean[p.meanBase + row] = middle;
    scale[p.scaleBase + row] = factor;
  }
}
