// Input gradient of the largest element along axes: g where an element was chosen, else 0. Axes of y from the last (0)
// on; along each the stride among the results (0 along reduced axes) and among the elements (0 along kept ones).
//#import "elementwise/grid.wgsl"
const WX = 64u;

struct Params {
  count: u32, gBase: u32, chosenBase: u32, yBase: u32,
  size0: u32, size1: u32, size2: u32, size3: u32, size4: u32, size5: u32,
  kept0: u32, kept1: u32, kept2: u32, kept3: u32, kept4: u32, kept5: u32,
  among0: u32, among1: u32, among2: u32, among3: u32, among4: u32, among5: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> g: array<f32>;
@group(1) @binding(2) var<storage, read> chosen: array<u32>;
@group(1) @binding(3) var<storage, read_write> y: array<f32>;

struct Walk { rest: u32, result: u32, place: u32 }

fn along(walk: Walk, size: u32, kept: u32, among: u32) -> Walk {
  let at = walk.rest % size;
  return Walk(walk.rest / size, walk.result + at * kept, walk.place + at * among);
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let element = blockOf(group) * WX + local.x;
  if (element >= p.count) { return; }
  var walk = along(Walk(element, 0u, 0u), p.size0, p.kept0, p.among0);
  walk = along(walk, p.size1, p.kept1, p.among1);
  walk = along(walk, p.size2, p.kept2, p.among2);
  walk = along(walk, p.size3, p.kept3, p.among3);
  walk = along(walk, p.size4, p.kept4, p.among4);
  walk = along(walk, p.size5, p.kept5, p.among5);
  y[p.yBase + element] = select(0.0, g[p.gBase + walk.result], chosen[p.chosenBase + walk.result] == walk.place);
}
