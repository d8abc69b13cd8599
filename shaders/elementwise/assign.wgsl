// Copies words of any type.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const RUN = 4u;

struct Params { count: u32, valueBase: u32, stateBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> value: array<u32>;
@group(1) @binding(2) var<storage, read_write> state: array<u32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let start = blockOf(group) * (WX * RUN) + local.x;
  // each invocation begins elsewhere, so no compiler unrolls this
  for (var element = start; element < start + RUN * WX; element += WX) {
    if (element < p.count) { state[p.stateBase + element] = value[p.valueBase + element]; }
  }
}
