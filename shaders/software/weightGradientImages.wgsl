// Weight gradient of convolutions over images of a few pixels: an invocation owns all taps of one input channel for
// TM rows, and goes along the images. Which input meets which output pixel under which tap is written out by
// src/kernels/convImages.ts, so taps that fall outside the image cost nothing. The sum runs over the images, then
// their pixels.
//#import "gemm/lanes.wgsl"
//#import "gemm/weightProblem.wgsl"
//#region left
//#import "gemm/left.wgsl"
//#endregion
//#region right
//#import "gemm/right.wgsl"
//#endregion

const TM = 16u; //#given rows (output channels) of an invocation
const TN = 1u; //#given taps
const WX = 8u; //#given lanes of a workgroup, an input channel each
const SG = 8u; //#given lanes that share their gradient loads
const PIXELS = 4u; // output pixels of an image
const INPUTS = 4u; // inputs of an image and channel
// a tap that meets an input under every pixel; one invocation more, with ones as inputs, sums the gradient itself there
const BIAS_TAP = 0u;
const RUN = 2u; // rows stored one after the other before the next ones come to the front
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u,
//#region lane
  @builtin(subgroup_invocation_id) lane: u32
//#endregion
) {
//#region laneless
//#endregion
  let channelGroup = group.z % p.groups;
  let split = group.z / p.groups;
  let row0 = group.y * TM;
  let rowOffset = channelGroup * p.rows;
  let channels = p.columns / p.taps;
  let channel = group.x * WX + local.x;
  let sums = channel >= channels;

  let firstImage = split * p.linesPerSplit / p.linesPerImage;
  let lastImage = min((split + 1u) * p.linesPerSplit, p.lines) / p.linesPerImage;
  var first = p.bBase + (channelGroup * channels + min(channel, channels - 1u)) * p.bChannel + firstImage * p.bBatch;
  var aRows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) {
    aRows[g] = p.aBase + (rowOffset + min(row0 + g * SG + (lane % SG), p.rows - 1u)) * p.aRow;
  }
  var aOffset = firstImage * p.aBatch;

  var acc: array<array<f32, TN>, TM>;
  for (var image = firstImage; image < lastImage; image++) {
    var right: array<f32, INPUTS>;
//#region inputs
    for (var q = 0u; q < INPUTS; q++) { right[q] = rightOne(first + q); }
//#endregion
    for (var q = 0u; q < INPUTS; q++) { right[q] = select(right[q], 1.0, sums); }
    var left: array<array<f32, PIXELS>, TM / SG>;
    for (var g = 0u; g < TM / SG; g++) {
      let gradient = aRows[g] + aOffset;
//#region gradients
      for (var t = 0u; t < PIXELS; t++) { left[g][t] = leftOne(gradient + t); }
//#endregion
    }
    for (var g = 0u; g < TM / SG; g++) {
      for (var i = 0u; i < SG; i++) {
//#region products
        let value0 = broadcast(left[g][0], lane, i);
        acc[g * SG + i][0] += value0 * right[0];
//#endregion
      }
    }
    first += p.bBatch;
    aOffset += p.aBatch;
  }

  // Registers are never addressed by a variable: the next RUN rows come to the front instead.
  if (channel < channels || (channel == channels && p.bias == 1u)) {
    for (var i = 0u; i < select(p.tileRows, TM, UNROLLED); i += RUN) {
      for (var r = 0u; r < RUN; r++) {
        if (row0 + i + r < p.rows) {
          let row = rowOffset + row0 + i + r;
          if (sums) {
            store(row, p.columns, split, acc[r][BIAS_TAP]);
          } else {
            for (var t = 0u; t < TN; t++) { store(row, channel * p.taps + t, split, acc[r][t]); }
          }
        }
      }
      for (var t = 0u; t < TM - RUN; t++) { acc[t] = acc[t + RUN]; }
    }
  }
}
