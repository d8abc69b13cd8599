// A constant sparse matrix along one axis: x as [lines, xSize, inner], y as [lines, ySize, inner]. Row j of the matrix
// has the entries from first[j] up to first[j + 1].
//#import "elementwise/grid.wgsl"
const WX = 64u;
const RUN = 4u;

struct Params {
  count: u32, inner: u32, xSize: u32, ySize: u32,
  xBase: u32, firstBase: u32, indexBase: u32, weightBase: u32, yBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> first: array<u32>;
@group(1) @binding(3) var<storage, read> index: array<u32>;
@group(1) @binding(4) var<storage, read> weight: array<f32>;
@group(1) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let start = blockOf(group) * (WX * RUN) + local.x;
  for (var part = 0u; part < RUN; part++) {
    let element = start + part * WX;
    if (element >= p.count) { return; }
    let row = element / p.inner % p.ySize;
    let line = p.xBase + element / (p.inner * p.ySize) * (p.inner * p.xSize) + element % p.inner;
    let end = first[p.firstBase + row + 1u];
    var sum = 0.0;
    for (var k = first[p.firstBase + row]; k < end; k++) {
      sum += weight[p.weightBase + k] * x[line + index[p.indexBase + k] * p.inner];
    }
    y[p.yBase + element] = sum;
  }
}
