// Mean and biased variance of each channel of x [N, C, P], and gamma / sqrt(variance + epsilon): one workgroup per channel, x is
// read once. A lane sums around its own first value, which keeps the squares small, and the lanes' results are merged pairwise
// (T. Chan, G. Golub, R. LeVeque, 1979), so a large mean costs no digits of the variance.
//#import "elementwise/grid.wgsl"
const LANES = 256u; // a power of two

struct Params { batch: u32, channels: u32, pixels: u32, xBase: u32, gammaBase: u32, meanBase: u32, varianceBase: u32, scaleBase: u32, epsilon: f32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> gamma: array<f32>;
@group(1) @binding(3) var<storage, read_write> mean: array<f32>;
@group(1) @binding(4) var<storage, read_write> variance: array<f32>;
@group(1) @binding(5) var<storage, read_write> scale: array<f32>;

// (count, mean, sum of squared deviations)
var<workgroup> moments: array<vec3f, LANES>;

fn merged(a: vec3f, b: vec3f) -> vec3f {
  let count = a.x + b.x;
  if (count == 0.0) { return a; }
  let delta = b.y - a.y;
  return vec3f(count, a.y + delta * (b.x / count), a.z + b.z + delta * delta * (a.x * b.x / count));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let channel = blockOf(group);
  if (channel >= p.channels) { return; }
  let count = p.batch * p.pixels;
  var own = vec3f(0.0);
  if (lane < count) {
    var image = lane / p.pixels;
    var pixel = lane % p.pixels;
    let pivot = x[p.xBase + (image * p.channels + channel) * p.pixels + pixel];
    var values = 0.0;
    var sum = 0.0;
    var squares = 0.0;
    for (var i = lane; i < count; i += LANES) {
      let d = x[p.xBase + (image * p.channels + channel) * p.pixels + pixel] - pivot;
      sum += d;
      squares += d * d;
      values += 1.0;
      image += LANES / p.pixels;
      pixel += LANES % p.pixels;
      if (pixel >= p.pixels) {
        pixel -= p.pixels;
        image += 1u;
      }
    }
    own = vec3f(values, pivot + sum / values, max(squares - sum * (sum / values), 0.0));
  }
  moments[lane] = own;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { moments[lane] = merged(moments[lane], moments[lane + width]); }
  }
  if (lane == 0u) {
    let all = moments[0];
    let biased = all.z / all.x;
    mean[p.meanBase + channel] = all.y;
    variance[p.varianceBase + channel] = biased;
    scale[p.scaleBase + channel] = gamma[p.gammaBase + channel] / sqrt(biased + p.epsilon);
  }
}
