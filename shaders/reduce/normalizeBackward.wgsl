// Input gradient of normalize.wgsl: with n = (x - mean) scale each row is scale (g - average of g - n (average of g
// n)), without CENTER scale (g - n (average of g n)). One workgroup per row.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
const CENTER = true;

struct Params { rows: u32, size: u32, epsilon: f32, gBase: u32, xBase: u32, meanBase: u32, scaleBase: u32, dxBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> g: array<f32>;
@group(1) @binding(2) var<storage, read> x: array<f32>;
@group(1) @binding(3) var<storage, read> mean: array<f32>;
@group(1) @binding(4) var<storage, read> scale: array<f32>;
@group(1) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = blockOf(group);
  if (row >= p.rows) { return; }
  let first = row * p.size;
  let middle = mean[p.meanBase + row];
  let factor = scale[p.scaleBase + row];
  var sum = 0.0;
  var products = 0.0;
  for (var k = lane; k < p.size; k += LANES) {
    let gradient = g[p.gBase + first + k];
    sum += gradient;
    products += gradient * (x[p.xBase + first + k] - middle) * factor;
  }
  var shift = 0.0;
  if (CENTER) { shift = treeSum(lane, sum) / f32(p.size); }
  let slope = treeSum(lane, products) / f32(p.size);
  for (var k = lane; k < p.size; k += LANES) {
    let normal = (x[p.xBase + first + k] - middle) * factor;
    dx[p.dxBase + first + k] = factor * (g[p.gBase + first + k] - shift - normal * slope);
  }
}
