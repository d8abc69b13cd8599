// Weight gradient of a depthwise convolution: per channel and tap the sum of g * x, and behind the taps the sum of g,
// the bias gradient. A workgroup owns one channel and a fixed range of strips, which are TN neighboring outputs of a
// row; its lanes' sums are added in order. Several ranges of a channel give rows of partial sums, which
// gemm/sumSplits adds.
//#import "elementwise/grid.wgsl"
const TN = 4u;
const LANES = 64u;
const TAPS_H = 3u;
const TAPS = 3u; // taps of a row
const STRIDE = 1u; // along the row
const DILATION = 1u;
const LOADS = 6u; // inputs of a strip
const VALUES = TAPS_H * TAPS + 1u;

struct Params {
  channels: u32, splits: u32, strips: u32, perSplit: u32,
  colsH: u32, colsW: u32, stripsPerRow: u32, sourceH: u32,
  sourceW: u32, strideH: u32, dilationH: u32, firstSplit: u32,
  paddingH: i32, paddingW: i32, width: u32, gBase: u32,
  xBase: u32, cBase: u32, biasBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> g: array<f32>;
@group(1) @binding(2) var<storage, read> x: array<f32>;
@group(1) @binding(3) var<storage, read_write> c: array<f32>;
//#region bindings
@group(1) @binding(4) var<storage, read_write> biasGradient: array<f32>;
//#endregion

fn store(channel: u32, tap: u32, split: u32, value: f32) {
//#region store
  if (tap == TAPS_H * TAPS) {
    biasGradient[p.biasBase + channel] = value;
  } else {
    c[p.cBase + channel * (TAPS_H * TAPS) + tap] = value;
  }
//#endregion
}

var<workgroup> parts: array<f32, LANES * VALUES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = blockOf(group);
  if (block >= p.channels * p.splits) { return; }
  let channel = block % p.channels;
  let split = block / p.channels;
  let plane = p.sourceH * p.sourceW;
  var sums: array<f32, VALUES>;
  let end = min((split + 1u) * p.perSplit, p.strips);
  for (var strip = split * p.perSplit + lane; strip < end; strip += LANES) {
    let image = strip / (p.colsH * p.stripsPerRow);
    let y = (strip / p.stripsPerRow) % p.colsH;
    let x0 = (strip % p.stripsPerRow) * TN;
    let row = p.gBase + ((image * p.channels + channel) * p.colsH + y) * p.colsW + x0;
    var gradient: array<f32, TN>;
    for (var j = 0u; j < TN; j++) {
      gradient[j] = select(0.0, g[row + j], x0 + j < p.colsW);
      sums[TAPS_H * TAPS] += gradient[j];
    }
    let startW = i32(x0 * STRIDE) - p.paddingW;
    var inside: array<bool, LOADS>;
    for (var t = 0u; t < LOADS; t++) {
      let column = startW + i32(t);
      inside[t] = column >= 0 && column < i32(p.sourceW);
    }
    let start = i32(p.xBase + (image * p.channels + channel) * plane) + startW;
    for (var kh = 0u; kh < TAPS_H; kh++) {
      let sourceY = i32(y * p.strideH + kh * p.dilationH) - p.paddingH;
      let rowInside = sourceY >= 0 && sourceY < i32(p.sourceH);
      let offset = start + select(0, sourceY, rowInside) * i32(p.sourceW);
      var right: array<f32, LOADS>;
      for (var t = 0u; t < LOADS; t++) {
        // an index outside the row or the buffer loads some value of the buffer, which is not used
        let value = x[u32(offset + i32(t))];
        right[t] = select(0.0, value, rowInside && inside[t]);
      }
      for (var t = 0u; t < TAPS; t++) {
        for (var j = 0u; j < TN; j++) { sums[kh * TAPS + t] += gradient[j] * right[j * STRIDE + t * DILATION]; }
      }
    }
  }
  for (var tap = 0u; tap < VALUES; tap++) { parts[lane * VALUES + tap] = sums[tap]; }
  workgroupBarrier();
  for (var tap = lane; tap < p.width; tap += LANES) {
    var sum = 0.0;
    for (var other = 0u; other < LANES; other++) { sum += parts[other * VALUES + tap]; }
    store(channel, tap, split, sum);
  }
}
