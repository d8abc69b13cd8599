// The largest element along axes and its place among them; of several the first. NaN counts as larger than everything.
// One invocation a result.
//#import "elementwise/grid.wgsl"
//#import "elementwise/finite.wgsl"
//#import "reduce/axes.wgsl"
const WX = 64u;

@group(1) @binding(3) var<storage, read_write> chosen: array<u32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let result = blockOf(group) * WX + local.x;
  if (result >= p.results) { return; }
  let begin = beginOf(result);
  var best = x[begin];
  var place = 0u;
  for (var i = 1u; i < p.elements; i++) {
    let value = x[begin + placeOf(i)];
    if (value > best || isNaN(value)) {
      best = value;
      place = i;
    }
  }
  y[p.yBase + result] = best;
  chosen[p.chosenBase + result] = place;
}
