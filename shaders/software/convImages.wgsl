// Convolution of images of a few pixels, forward and input gradient: the same products as gemm/conv, but an
// invocation owns all outputs of an image, so a loaded input serves all taps and a loaded weight all outputs, and
// taps that fall outside the image cost nothing. Which input meets which output under which tap is written out by
// src/kernels/convImages.ts. The sum runs over k, then the taps of the window: it depends on the layer only.
//#import "gemm/product.wgsl"

const TM = 16u; //#given rows (channels) of an invocation
const TN = 4u; //#given outputs of an image
const WX = 8u; //#given lanes of a workgroup, an image each
const SG = 8u; //#given lanes that share their A loads
const TAPS = 1u; // taps that meet an input somewhere
const INPUTS = 4u; // inputs of an image and channel
const WHOLE = false; // true: there are TM rows in every tile
const RUN = 2u; // rows stored one after the other before the next ones come to the front
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given

struct Params {
  rows: u32, batch: u32, inner: u32,
  aRow: u32, aInner: u32, aGroup: u32, aBase: u32,
  bBatch: u32, bInner: u32, bGroup: u32, bBase: u32,
  cBase: u32, cBatch: u32,
  tileColumns: u32, tileRows: u32,
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
  let channelGroup = group.z;
  let image = group.x * WX + local.x;
  let row0 = group.y * TM;
  // lanes past the end repeat the last image and store nothing
  var first = p.bBase + channelGroup * p.bGroup + min(image, p.batch - 1u) * p.bBatch;
  var aRows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) {
    aRows[g] = p.aBase + channelGroup * p.aGroup + min(row0 + g * SG + (lane % SG), p.rows - 1u) * p.aRow;
  }

  var acc: array<array<f32, TN>, TM>;
  var aOffset = 0u;
  for (var k = 0u; k < p.inner; k++) {
    var right: array<f32, INPUTS>;
//#region inputs
    for (var q = 0u; q < INPUTS; q++) { right[q] = rightOne(first + q); }
//#endregion
    var left: array<array<f32, TAPS>, TM / SG>;
    for (var g = 0u; g < TM / SG; g++) {
      let weight = aRows[g] + aOffset;
//#region weights
      left[g][0] = a[weight];
//#endregion
    }
    for (var g = 0u; g < TM / SG; g++) {
      for (var i = 0u; i < SG; i++) {
//#region products
        let value0 = broadcast(left[g][0], lane, i);
        for (var q = 0u; q < INPUTS; q++) { acc[g * SG + i][q] += value0 * right[q]; }
//#endregion
      }
    }
    first += p.bInner;
    aOffset += p.aInner;
  }

  // Registers are never addressed by a variable: the next RUN rows come to the front instead.
  if (image < p.batch) {
    let firstChannel = channelGroup * p.rows + row0;
    for (var slot = 0u; slot < TN / ABREAST; slot++) {
      let pixel = slot * ABREAST;
//#region begin column
//#endregion
    }
    var index = image * p.cBatch + firstChannel * TN;
    for (var i = 0u; i < select(p.tileRows, TM, UNROLLED); i += RUN) {
      for (var r = 0u; r < RUN; r++) {
        if (WHOLE || row0 + i + r < p.rows) {
          for (var slot = 0u; slot < TN / ABREAST; slot++) {
            let j = slot * ABREAST;
            let numbers = vec4f(acc[r][j], acc[r][min(j + 1u, TN - 1u)], acc[r][min(j + 2u, TN - 1u)],
              acc[r][min(j + 3u, TN - 1u)]);
            let place = Place(firstChannel + i + r, image, j, index + j, slot);
            c[(p.cBase + index + j) / ABREAST] = finish(valuesOf(numbers), place);
          }
        }
        index += TN;
      }
      for (var t = 0u; t < TM - RUN; t++) { acc[t] = acc[t + RUN]; }
    }
    for (var slot = 0u; slot < TN / ABREAST; slot++) {
      let pixel = slot * ABREAST;
//#region end column
//#endregion
    }
  }
}
