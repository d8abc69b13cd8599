// A kernel of the user's own: an invocation computes one element. The regions are generated from its inputs and its
// text; the default copies.
//#import "elementwise/grid.wgsl"
const WX = 64u;

struct Params {
  count: u32,
//#region params
  in0Base: u32, outBase: u32,
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
//#region bindings
@group(1) @binding(1) var<storage, read> in0: array<f32>;
@group(1) @binding(2) var<storage, read_write> out: array<f32>;
//#endregion

//#region element
fn element(index: u32) -> f32 { return in0[p.in0Base + index]; }
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let index = blockOf(group) * WX + local.x;
  if (index < p.count) { out[p.outBase + index] = element(index); }
}
