// Adds the rows [splits, channels] of two tensors in their order: what reduce/channelSums found for parts of each
// channel.
const WX = 64u;

struct Params {
  channels: u32, splits: u32, partialProductsBase: u32, partialSumsBase: u32, productsBase: u32, sumsBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> partialProducts: array<f32>;
@group(1) @binding(2) var<storage, read> partialSums: array<f32>;
@group(1) @binding(3) var<storage, read_write> products: array<f32>;
@group(1) @binding(4) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) global: vec3u) {
  let channel = global.x;
  if (channel >= p.channels) { return; }
  var product = 0.0;
  var sum = 0.0;
  for (var split = 0u; split < p.splits; split++) {
    let at = split * p.channels + channel;
    product += partialProducts[p.partialProductsBase + at];
    sum += partialSums[p.partialSumsBase + at];
  }
  products[p.productsBase + channel] = product;
  sums[p.sumsBase + channel] = sum;
}
