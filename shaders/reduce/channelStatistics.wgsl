// Mean and biased variance of each channel of x [N, C, P], and gamma / sqrt(variance + epsilon): x is read once, by
// one workgroup per channel or by several, each with a fixed range of the values, whose moments
// reduce/mergeStatistics merges. A lane sums around its own first value, which keeps the squares small, and moments
// are merged pairwise (reduce/moments). Images are `xBatch` elements apart. Where lanes read in fours, `pixels`,
// `perSplit`, `xBatch` and `xBase` count fours.
//#import "elementwise/grid.wgsl"
//#import "reduce/moments.wgsl"
//#region number
//#import "reduce/number.wgsl"
//#endregion
const LANES = 256u; // a power of two
const PARTIAL = false; // true: write rows [splits, channels] of means, of sums of squared deviations and of counts

struct Params {
  batch: u32, channels: u32, pixels: u32, splits: u32, perSplit: u32, firstSplit: u32, xBatch: u32, epsilon: f32,
  xBase: u32,
  gammaBase: u32, meanBase: u32, varianceBase: u32, scaleBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<Number>;
@group(1) @binding(2) var<storage, read> gamma: array<f32>;
@group(1) @binding(3) var<storage, read_write> mean: array<f32>;
@group(1) @binding(4) var<storage, read_write> variance: array<f32>;
@group(1) @binding(5) var<storage, read_write> scale: array<f32>;

var<workgroup> moments: array<vec3f, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = blockOf(group);
  if (block >= p.channels * p.splits) { return; }
  let channel = block % p.channels;
  let split = block / p.channels;
  let first = split * p.perSplit + lane;
  let end = min((split + 1u) * p.perSplit, p.batch * p.pixels);
  var own = vec3f(0.0);
  if (first < end) {
    var image = first / p.pixels;
    var pixel = first % p.pixels;
    let pivot = leader(x[p.xBase + image * p.xBatch + channel * p.pixels + pixel]);
    var values = 0.0;
    var sums = Number();
    var squares = Number();
    for (var i = first; i < end; i += LANES) {
      let d = x[p.xBase + image * p.xBatch + channel * p.pixels + pixel] - pivot;
      sums += d;
      squares += d * d;
      values += f32(WIDTH);
      image += LANES / p.pixels;
      pixel += LANES % p.pixels;
      if (pixel >= p.pixels) {
        pixel -= p.pixels;
        image += 1u;
      }
    }
    let sum = total(sums);
    own = vec3f(values, pivot + sum / values, max(total(squares) - sum * (sum / values), 0.0));
  }
  moments[lane] = own;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { moments[lane] = merged(moments[lane], moments[lane + width]); }
  }
  if (lane == 0u) {
    let all = moments[0];
    let at = (p.firstSplit + split) * p.channels + channel;
    mean[p.meanBase + at] = all.y;
    if (PARTIAL) {
      variance[p.varianceBase + at] = all.z;
      scale[p.scaleBase + at] = all.x;
    } else {
      let biased = all.z / all.x;
      variance[p.varianceBase + at] = biased;
      scale[p.scaleBase + at] = gamma[p.gammaBase + channel] / sqrt(biased + p.epsilon);
    }
  }
}
