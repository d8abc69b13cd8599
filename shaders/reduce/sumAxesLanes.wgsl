// Sums along axes, times `scale`; one workgroup a result.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
//#import "reduce/axes.wgsl"

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let result = blockOf(group);
  if (result >= p.results) { return; }
  let begin = beginOf(result);
  var sum = 0.0;
  for (var i = lane; i < p.elements; i += LANES) { sum += x[begin + placeOf(i)]; }
  sum = treeSum(lane, sum);
  if (lane == 0u) { y[p.yBase + result] = sum * p.scale; }
}
