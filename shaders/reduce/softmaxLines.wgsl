// Softmax along the middle axis of x [outer, size, inner], or its logarithm. One invocation per line.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const LOG = false;

struct Params { lines: u32, size: u32, inner: u32, xBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let line = blockOf(group) * WX + local.x;
  if (line >= p.lines) { return; }
  let first = line / p.inner * (p.size * p.inner) + line % p.inner;
  let base = p.xBase + first;
  let into = p.resultBase + first;
  var largest = x[base];
  for (var k = 1u; k < p.size; k++) { largest = max(largest, x[base + k * p.inner]); }
  var sum = 0.0;
  for (var k = 0u; k < p.size; k++) { sum += exp(x[base + k * p.inner] - largest); }
  let shift = log(sum);
  let scale = 1.0 / sum;
  for (var k = 0u; k < p.size; k++) {
    if (LOG) {
      result[into + k * p.inner] = (x[base + k * p.inner] - largest) - shift;
    } else {
      result[into + k * p.inner] = exp(x[base + k * p.inner] - largest) * scale;
    }
  }
}
