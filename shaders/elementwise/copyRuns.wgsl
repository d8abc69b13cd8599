// Copies images of `run` words each, which lie `xBatch` and `yBatch` words apart.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const RUN = 4u;

struct Params { count: u32, run: u32, xBatch: u32, yBatch: u32, xBase: u32, yBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<u32>;
@group(1) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let start = blockOf(group) * (WX * RUN) + local.x;
  for (var part = 0u; part < RUN; part++) {
    let element = start + part * WX;
    if (element < p.count) {
      let image = element / p.run;
      let place = element % p.run;
      y[p.yBase + image * p.yBatch + place] = x[p.xBase + image * p.xBatch + place];
    }
  }
}
