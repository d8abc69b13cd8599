// Per channel of g and x [N, C, P]: the sum of g (x - center) and the sum of g. One workgroup per channel, or several
// with a fixed range of the values each; reduce/mergeSums adds their rows [splits, channels]. Images are `gBatch` and
// `xBatch` elements apart. Where lanes read in fours, all of these and the bases of g and x count fours.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
//#region number
//#import "reduce/number.wgsl"
//#endregion

struct Params {
  batch: u32, channels: u32, pixels: u32, splits: u32, perSplit: u32, firstSplit: u32, gBatch: u32, xBatch: u32,
  gBase: u32, xBase: u32,
  productsBase: u32, sumsBase: u32, centerBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> g: array<Number>;
@group(1) @binding(2) var<storage, read> x: array<Number>;
@group(1) @binding(3) var<storage, read_write> products: array<f32>;
@group(1) @binding(4) var<storage, read_write> sums: array<f32>;
//#region center
@group(1) @binding(5) var<storage, read> center: array<f32>;
fn centerOf(channel: u32) -> f32 { return center[p.centerBase + channel]; }
//#endregion

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = blockOf(group);
  if (block >= p.channels * p.splits) { return; }
  let channel = block % p.channels;
  let split = block / p.channels;
  let first = split * p.perSplit + lane;
  let end = min((split + 1u) * p.perSplit, p.batch * p.pixels);
  let middle = centerOf(channel);
  var image = first / p.pixels;
  var pixel = first % p.pixels;
  var ownProduct = Number();
  var ownSum = Number();
  for (var i = first; i < end; i += LANES) {
    let place = channel * p.pixels + pixel;
    let value = g[p.gBase + image * p.gBatch + place];
    ownProduct += value * (x[p.xBase + image * p.xBatch + place] - middle);
    ownSum += value;
    image += LANES / p.pixels;
    pixel += LANES % p.pixels;
    if (pixel >= p.pixels) {
      pixel -= p.pixels;
      image += 1u;
    }
  }
  let product = treeSum(lane, total(ownProduct));
  let sum = treeSum(lane, total(ownSum));
  if (lane == 0u) {
    let at = (p.firstSplit + split) * p.channels + channel;
    products[p.productsBase + at] = product;
    sums[p.sumsBase + at] = sum;
  }
}
