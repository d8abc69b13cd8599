// Depthwise convolution (every channel has its own window), forward and input gradient. An invocation owns TN
// neighboring outputs of one row in TM channels: the inputs of a row are loaded once and serve all its taps, and a
// ReLU's packed mask gets whole words. The sum runs over tap rows, then the taps of the row: an order that depends on
// the layer only.
//   forward         source = output * stride + tap * dilation - padding
//   input gradient  source = (output + padding - tap * dilation) / stride, where that is whole; which taps of a row
//   those are is
//                   known when the shader is compiled, because strips begin at multiples of the stride
//#import "gemm/product.wgsl"

const TM = 16u; //#given channels of an invocation
const TN = 4u; //#given neighboring outputs of an invocation
const WX = 8u; //#given lanes of a workgroup
const SG = 8u; //#given lanes that share their loads of weights
const TAPS_H = 3u;
const TAPS = 3u; // taps of a row
const WORDS = 2u; // loads in which SG lanes get all weights of a channel
const UNROLLED = true; //#given false: one channel after the other, which compiles in a fraction of the time
const STRIDE = 1u; // along the row
const DILATION = 1u;
const TRANSPOSED = false; // true: input gradient
const PADDING = 1; // to the left of the forward pass's input
const ORIGIN = -1; // source column of a strip's first load, relative to the strip's start
const LOADS = 6u; // source columns of a strip
// Loads FIRST <= t < LAST of a strip lie inside the row in every strip that needs them, so only the others are checked.
const FIRST = 1u;
const LAST = 5u;

struct Params {
  channels: u32, batch: u32, block: u32, colsH: u32,
  colsW: u32, stripsPerRow: u32, sourceH: u32, sourceW: u32,
  strideH: u32, dilationH: u32, paddingH: i32, aBase: u32,
  bBase: u32, bBatch: u32, cBase: u32, cBatch: u32,
//#region params
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u,
//#region lane
  @builtin(subgroup_invocation_id) lane: u32
//#endregion
) {
//#region laneless
//#endregion
  let strips = p.batch * p.colsH * p.stripsPerRow;
  let strip = group.x * WX + local.x;
  let firstChannel = group.y * TM;
  // lanes past the end repeat the last strip and store nothing
  let mine = min(strip, strips - 1u);
  let image = mine / (p.colsH * p.stripsPerRow);
  let y = (mine / p.stripsPerRow) % p.colsH;
  let x0 = (mine % p.stripsPerRow) * TN;

  let startW = i32(select(x0 * STRIDE, x0 / STRIDE, TRANSPOSED)) + ORIGIN;
  var inside: array<bool, LOADS>;
  for (var t = 0u; t < LOADS; t++) {
    let x = startW + i32(t);
    inside[t] = x >= 0 && x < i32(p.sourceW);
  }
  let plane = p.sourceH * p.sourceW;
  var start: array<i32, TAPS_H>;
  var rowInside: array<bool, TAPS_H>;
  for (var kh = 0u; kh < TAPS_H; kh++) {
    var sourceY = i32(y * p.strideH + kh * p.dilationH) - p.paddingH;
    var found = sourceY >= 0;
    if (TRANSPOSED) {
      let shifted = i32(y) + p.paddingH - i32(kh * p.dilationH);
      sourceY = shifted / i32(p.strideH);
      found = shifted >= 0 && sourceY * i32(p.strideH) == shifted;
    }
    rowInside[kh] = found && sourceY < i32(p.sourceH);
    start[kh] = i32(p.bBase + image * p.bBatch) + select(0, sourceY, rowInside[kh]) * i32(p.sourceW) + startW;
  }

  let channels = select(p.block, TM, UNROLLED);
  var acc: array<array<f32, TN>, TM>;
  for (var i = 0u; i < channels; i++) {
    // channels past the end repeat the last one; they are never stored
    let channel = min(firstChannel + i, p.channels - 1u);
    var weights: array<f32, WORDS>;
    for (var k = 0u; k < WORDS; k++) {
      weights[k] = a[p.aBase + channel * (TAPS_H * TAPS) + min(k * SG + lane % SG, TAPS_H * TAPS - 1u)];
    }
    // written out: where the driver does not unroll the loop, an array declared without a value keeps the last
    // channel's
    var sums = array<f32, TN>();
    for (var kh = 0u; kh < TAPS_H; kh++) {
      let offset = start[kh] + i32(channel * plane);
      var right: array<f32, LOADS>;
      for (var t = 0u; t < LOADS; t++) {
        // an index outside the row or the buffer loads some value of the buffer, which is not used
        let value = b[u32(offset + i32(t))];
        right[t] = select(0.0, value, rowInside[kh] && ((t >= FIRST && t < LAST) || inside[t]));
      }
      for (var t = 0u; t < TAPS; t++) {
        let tap = kh * TAPS + t;
        let weight = broadcast(weights[tap / SG], lane, tap % SG);
        for (var j = 0u; j < TN; j++) {
          if (TRANSPOSED) {
            // a multiple of the stride is added, so that the quotient is of positive numbers
            let shifted = u32(i32(j) + PADDING + i32(TAPS * DILATION * STRIDE)) - t * DILATION;
            if (shifted % STRIDE == 0u) {
              sums[j] += weight * right[u32(i32(shifted / STRIDE) - i32(TAPS * DILATION) - ORIGIN)];
            }
          } else {
            sums[j] += weight * right[j * STRIDE + t * DILATION];
          }
        }
      }
    }
    acc[i] = sums;
  }

  if (strip < strips) {
    for (var j = 0u; j < TN; j++) {
      if (x0 + j < p.colsW) {
        let pixel = y * p.colsW + x0 + j;
//#region begin column
//#endregion
        for (var i = 0u; i < channels; i++) {
          let channel = firstChannel + i;
          if (channel < p.channels) {
            let index = image * p.cBatch + channel * (p.colsH * p.colsW) + pixel;
            c[p.cBase + index] = finish(acc[i][j], Place(channel, image, pixel, index, 0u));
          }
        }
//#region end column
//#endregion
      }
    }
  }
}
