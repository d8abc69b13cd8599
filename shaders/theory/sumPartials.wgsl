// result[q] = sum over rows of partials[row][q]: one workgroup per quantity, in a fixed order.
//#import "reduce/tree.wgsl"
struct Params { rows: u32, quantities: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var row = lane; row < p.rows; row += LANES) { sum += partials[row * p.quantities + group.x]; }
  let total = treeSum(lane, sum);
  if (lane == 0u) { result[group.x] = total; }
}
