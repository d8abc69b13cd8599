// Merges the moments that reduce/channelStatistics found for parts of each channel, in their order: mean, biased
// variance and gamma / sqrt(variance + epsilon). Of each part there are the mean, the sum of squared deviations and
// the count, in rows [splits, channels].
//#import "reduce/moments.wgsl"
const WX = 64u;

struct Params {
  channels: u32, splits: u32, epsilon: f32, meansBase: u32, squaresBase: u32, countsBase: u32,
  gammaBase: u32, meanBase: u32, varianceBase: u32, scaleBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> means: array<f32>;
@group(1) @binding(2) var<storage, read> squares: array<f32>;
@group(1) @binding(3) var<storage, read> counts: array<f32>;
@group(1) @binding(4) var<storage, read> gamma: array<f32>;
@group(1) @binding(5) var<storage, read_write> mean: array<f32>;
@group(1) @binding(6) var<storage, read_write> variance: array<f32>;
@group(1) @binding(7) var<storage, read_write> scale: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) global: vec3u) {
  let channel = global.x;
  if (channel >= p.channels) { return; }
  var all = vec3f(0.0);
  for (var split = 0u; split < p.splits; split++) {
    let at = split * p.channels + channel;
    all = merged(all, vec3f(counts[p.countsBase + at], means[p.meansBase + at], squares[p.squaresBase + at]));
  }
  let biased = all.z / all.x;
  mean[p.meanBase + channel] = all.y;
  variance[p.varianceBase + channel] = biased;
  scale[p.scaleBase + channel] = gamma[p.gammaBase + channel] / sqrt(biased + p.epsilon);
}
