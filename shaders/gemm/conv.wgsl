// Implicit-GEMM convolution: C[row, col] = sum over (tap, k) of A[row, k, tap] * B[k, source(col, tap)].
//
// One text serves the forward pass and the input gradient of convolutions and linear layers:
//   forward         rows = output channels, k = input channels,  source = col * stride + tap * dilation - padding
//   input gradient  rows = input channels,  k = output channels, source = col + (phase + padding - tap * dilation) /
//   stride,
//                   where the output pixels are taken stride by stride (phases), so no tap of a phase ever misses.
// A linear layer is the 1 x 1 case whose columns are the images of the batch.
// The sum runs over taps (row-major), then k: an order that depends on the layer only.
//
// One invocation owns TM rows x TN columns. Lanes run along the columns; the A values of a row block are loaded once
// per group of SG lanes and handed round with subgroup broadcasts, so an inner step costs TM / SG + TN loads.
//#import "gemm/product.wgsl"
//#import "gemm/convProblem.wgsl"

const TM = 16u; //#given rows of an invocation
const TN = 4u; //#given columns of an invocation
const WX = 16u; //#given lanes of a workgroup
const SG = 8u; //#given lanes that share their A loads; 1 = every lane loads all rows itself
const ACCUMULATE = false; // true: go on from the sums that C holds already
const PADDED = true; // false: no tap of any column falls outside the source
// true: more rows than a word of a mask has channels, stored word by word and addressed by a variable, which keeps
// the sums in memory, where so many would be anyway
const TALL = false;
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
  // z enumerates (channel group, phase row, phase column)
  let phaseW = group.z % p.phasesW;
  let phaseH = (group.z / p.phasesW) % p.phasesH;
  let channelGroup = group.z / (p.phasesW * p.phasesH);
  let colsH = (p.colsH + p.phasesH - 1u - phaseH) / p.phasesH;
  let colsW = (p.colsW + p.phasesW - 1u - phaseW) / p.phasesW;
  let plane = colsH * colsW;
  let columns = plane * p.batch;
  let firstColumn = group.x * (WX * TN);
  if (firstColumn >= columns) { return; }
  let row0 = group.y * TM;

  var colImage: array<u32, TN>;
  var colH: array<i32, TN>;
  var colW: array<i32, TN>;
  for (var j = 0u; j < TN; j++) {
    let column = min(firstColumn + j * WX + local.x, columns - 1u);
    let pixel = column % plane;
    colImage[j] = column / plane;
    colH[j] = i32(pixel / colsW);
    colW[j] = i32(pixel % colsW);
  }

  var acc: array<array<f32, TN>, TM>;
  if (ACCUMULATE) {
    for (var j = 0u; j < TN; j++) {
      let pixel = (u32(colH[j]) * p.phasesH + phaseH) * p.colsW + u32(colW[j]) * p.phasesW + phaseW;
      for (var i = 0u; i < TM; i++) {
        let channel = channelGroup * p.rows + p.rowStart + min(row0 + i, p.rows - 1u);
        acc[i][j] = c[p.cBase + colImage[j] * p.cBatch + channel * p.cRow + pixel * p.cW];
      }
    }
  }
  let originH = p.tapOriginH + i32(phaseH);
  let originW = p.tapOriginW + i32(phaseW);
  // rows past the end repeat the last row; they are never stored
  var aRows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) {
    aRows[g] = p.aBase + channelGroup * p.aGroup + min(row0 + g * SG + (lane % SG), p.rows - 1u) * p.aRow;
  }
  for (var kh = 0u; kh < p.tapsH; kh++) {
    let th = originH + i32(kh) * p.tapStepH;
    if (th % i32(p.phasesH) != 0) { continue; }
    let shiftH = th / i32(p.phasesH);
    for (var kw = 0u; kw < p.tapsW; kw++) {
      let tw = originW + i32(kw) * p.tapStepW;
      if (tw % i32(p.phasesW) != 0) { continue; }
      let shiftW = tw / i32(p.phasesW);
      var offset: array<u32, TN>;
      var inside: array<bool, TN>;
      for (var j = 0u; j < TN; j++) {
        let h = colH[j] * i32(p.stepH) + shiftH;
        let w = colW[j] * i32(p.stepW) + shiftW;
        inside[j] = h >= 0 && h < i32(p.sourceH) && w >= 0 && w < i32(p.sourceW);
        offset[j] = select(0u, colImage[j] * p.bBatch + u32(h) * p.bH + u32(w) * p.bW, inside[j])
          + p.bBase + channelGroup * p.bGroup;
      }
      var aOffset = kh * p.aTapH + kw * p.aTapW;
      for (var k = 0u; k < p.inner; k++) {
        var right: array<f32, TN>;
        for (var j = 0u; j < TN; j++) {
          right[j] = select(0.0, b[offset[j]], !PADDED || inside[j]);
          offset[j] += p.bInner;
        }
        // all loads before the products: a driver that branches in loads keeps the sums in place only in what is not
        // branched
        var left: array<f32, TM / SG>;
        for (var g = 0u; g < TM / SG; g++) { left[g] = a[aRows[g] + aOffset]; }
        for (var g = 0u; g < TM / SG; g++) {
          for (var i = 0u; i < SG; i++) {
            let value = broadcast(left[g], lane, i);
            for (var j = 0u; j < TN; j++) { acc[g * SG + i][j] += value * right[j]; }
          }
        }
        aOffset += p.aInner;
      }
    }
  }

  // Straight-line code takes results at constant places. Where a loop stays a loop, registers must not be addressed by
  // a variable, so the next column, and in it the next row, comes to the front instead. Not in straight-line code:
  // Mesa compiles registers that move in the loop that reads them wrong for AMD's GPUs.
  for (var j = 0u; j < select(p.tileColumns, TN, UNROLLED); j++) {
    var line: array<f32, TM>;
    for (var i = 0u; i < select(TM, 0u, TALL); i++) {
      if (UNROLLED) {
        line[i] = acc[i][j];
      } else {
        line[i] = acc[i][0];
        for (var t = 0u; t + 1u < TN; t++) { acc[i][t] = acc[i][t + 1u]; }
      }
    }
    let column = firstColumn + j * WX + local.x;
    if (column < columns) {
      let image = column / plane;
      let h = (column % plane) / colsW * p.phasesH + phaseH;
      let w = (column % plane) % colsW * p.phasesW + phaseW;
      let pixel = h * p.colsW + w;
      var firstChannel = channelGroup * p.rows + p.rowStart + row0;
      for (var done = 0u; done < select(1u, p.tileRows, TALL);) {
        let rows = select(select(p.tileRows, TM, UNROLLED), min(16u - firstChannel % 16u, p.tileRows - done), TALL);
//#region begin column
//#endregion
        for (var i = 0u; i < rows; i++) {
          var value = 0.0;
          if (TALL) {
            value = acc[done + i][j];
          } else if (UNROLLED) {
            value = line[i];
          } else {
            value = line[0];
            for (var t = 0u; t + 1u < TM; t++) { line[t] = line[t + 1u]; }
          }
          if (row0 + done + i < p.rows) {
            let channel = firstChannel + i;
            let index = image * p.cBatch + channel * p.cRow + pixel * p.cW;
            c[p.cBase + index] = finish(value, Place(channel, image, pixel, index, 0u));
          }
        }
//#region end column
//#endregion
        done += rows;
        firstChannel += rows;
      }
    }
  }
}
