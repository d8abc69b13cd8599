// Sums along axes, times `scale`; one invocation a result. Partial sums of one run along the last reduced axis keep
// long sums exact.
//#import "elementwise/grid.wgsl"
//#import "reduce/axes.wgsl"
const WX = 64u;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let result = blockOf(group) * WX + local.x;
  if (result >= p.results) { return; }
  let begin = beginOf(result);
  var sum = 0.0;
  for (var outer = 0u; outer < p.elements; outer += p.size0) {
    let line = begin + placeOf(outer);
    for (var begun = 0u; begun < p.size0; begun += 32u) {
      var part = 0.0;
      for (var i = begun; i < min(begun + 32u, p.size0); i++) { part += x[line + i * p.stride0]; }
      sum += part;
    }
  }
  y[p.yBase + result] = sum * p.scale;
}
