// (x - mean) / sqrt(variance + epsilon) of each row of x [rows, size]; without CENTER x / sqrt(mean of x^2 + epsilon).
// One invocation per row. The variance is that of the differences from the mean, so that large means cost no digits.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const CENTER = true;

struct Params { rows: u32, size: u32, epsilon: f32, xBase: u32, yBase: u32, meanBase: u32, scaleBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(3) var<storage, read_write> mean: array<f32>;
@group(1) @binding(4) var<storage, read_write> scale: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let row = blockOf(group) * WX + local.x;
  if (row >= p.rows) { return; }
  let base = p.xBase + row * p.size;
  var middle = 0.0;
  if (CENTER) {
    for (var k = 0u; k < p.size; k++) { middle += x[base + k]; }
    middle /= f32(p.size);
  }
  var squares = 0.0;
  for (var k = 0u; k < p.size; k++) {
    let difference = x[base + k] - middle;
    squares += difference * difference;
  }
  let factor = 1.0 / sqrt(squares / f32(p.size) + p.epsilon);
  for (var k = 0u; k < p.size; k++) { y[p.yBase + row * p.size + k] = (x[base + k] - middle) * factor; }
  mean[p.meanBase + row] = middle;
  scale[p.scaleBase + row] = factor;
}
