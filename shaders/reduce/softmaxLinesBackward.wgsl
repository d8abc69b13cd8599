// Gradient of the softmax y along the middle axis of [outer, size, inner]: y (g - sum of g y); of the log-softmax: g -
// exp(y) (sum of g). One invocation per line.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const LOG = false;

struct Params { lines: u32, size: u32, inner: u32, gBase: u32, yBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> g: array<f32>;
@group(1) @binding(2) var<storage, read> y: array<f32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let line = blockOf(group) * WX + local.x;
  if (line >= p.lines) { return; }
  let first = line / p.inner * (p.size * p.inner) + line % p.inner;
  var sum = 0.0;
  for (var k = 0u; k < p.size; k++) {
    let gradient = g[p.gBase + first + k * p.inner];
    if (LOG) { sum += gradient; } else { sum += gradient * y[p.yBase + first + k * p.inner]; }
  }
  for (var k = 0u; k < p.size; k++) {
    let gradient = g[p.gBase + first + k * p.inner];
    let value = y[p.yBase + first + k * p.inner];
    if (LOG) {
      result[p.resultBase + first + k * p.inner] = gradient - exp(value) * sum;
    } else {
      result[p.resultBase + first + k * p.inner] = value * (gradient - sum);
    }
  }
}
