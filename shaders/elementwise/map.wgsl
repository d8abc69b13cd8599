// One elementwise computation over tensors of `count` elements. The regions are generated from an ElementwiseFunction;
// the default is the identity. An invocation computes RUN elements, a workgroup's width apart, so that neighboring
// lanes touch neighboring elements; in the vector form an element is a vec4f. `first` is the place of element 0 in
// the whole tensor where that is cut into slices.
//#import "elementwise/grid.wgsl"
//#import "elementwise/finite.wgsl"
const WX = 64u;
const RUN = 4u;

struct Params {
  count: u32, first: u32, sampleSize: u32,
//#region params
  in0Base: u32, out0Base: u32,
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
//#region bindings
@group(1) @binding(1) var<storage, read> in0: array<f32>;
@group(1) @binding(2) var<storage, read_write> out0: array<f32>;
//#endregion

//#region step
//#endregion

//#region compute
struct Results { r0: f32 }
fn compute(x: f32) -> Results { return Results(x); }
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
//#region scalars
//#endregion
  let start = blockOf(group) * (WX * RUN) + local.x;
  // each invocation begins elsewhere, so no compiler unrolls this: that would take longer than it saves
  for (var element = start; element < start + RUN * WX; element += WX) {
    if (element < p.count) {
//#region body
      let results = compute(in0[p.in0Base + element]);
      out0[p.out0Base + element] = results.r0;
//#endregion
    }
  }
}
