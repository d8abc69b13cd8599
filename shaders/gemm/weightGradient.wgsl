// Implicit-GEMM weight gradient: C[row, col] = sum over (line, x) of A[row, line, x] * B[col, line, x], where a line
// is one row of output pixels of one image, row = output channel and col = (input channel, tap), plus one column of
// ones whose sum is the bias gradient. A linear layer is one line whose pixels are the images of the batch.
//
// The lines are split over workgroups (z) into fixed ranges; each writes its own partial sums, which
// gemm/sumSplits adds in order, so the result does not depend on scheduling.
//#import "gemm/lanes.wgsl"
//#import "gemm/weightProblem.wgsl"
//#region right
//#import "gemm/right.wgsl"
//#endregion

const TM = 16u; //#given
const TN = 4u; //#given
const WX = 16u; //#given
const SG = 8u; //#given
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given
const FOURS = 0u; // TN / 4 where an invocation's columns are neighbors that load in fours, else 0
const SINGLES = 4u; // columns that load one by one: TN or 0
const PADDED = true; // false: one tap, no padding, stride 1, so that every pixel of the gradient has its input

@group(1) @binding(1) var<storage, read> a: array<f32>;

fn columnOf(first: u32, own: u32, j: u32) -> u32 { return first + select(j * WX + own, own * TN + j, FOURS > 0u); }

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
  let firstColumn = group.x * (WX * TN);
  let rowOffset = channelGroup * p.rows;

  var base: array<u32, TN>;
  var tapH: array<i32, TN>;
  var tapW: array<i32, TN>;
  var usable: array<bool, TN>;
  var fill: array<f32, TN>;
  for (var j = 0u; j < TN; j++) {
    let column = columnOf(firstColumn, local.x, j);
    let channel = column / p.taps;
    let tap = column % p.taps;
    usable[j] = column < p.columns;
    fill[j] = select(0.0, 1.0, column == p.columns);
    base[j] = p.bBase + select(0u, channelGroup * (p.columns / p.taps) + channel, usable[j]) * p.bChannel;
    tapH[j] = i32(tap / p.tapsW * p.dilationH) - p.paddingH;
    tapW[j] = i32(tap % p.tapsW * p.dilationW) - p.paddingW;
  }
  var aRows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) {
    aRows[g] = p.aBase + (rowOffset + min(row0 + g * SG + (lane % SG), p.rows - 1u)) * p.aRow;
  }

  var acc: array<array<f32, TN>, TM>;
  let lastLine = min((split + 1u) * p.linesPerSplit, p.lines);
  for (var line = split * p.linesPerSplit; line < lastLine; line++) {
    let image = line / p.linesPerImage;
    let y = line % p.linesPerImage;
    var offset: array<u32, TN>;
    var inside: array<bool, TN>;
    for (var j = 0u; j < TN; j++) {
      let h = i32(y * p.strideH) + tapH[j];
      inside[j] = usable[j] && h >= 0 && h < i32(p.sourceH);
      offset[j] = base[j] + image * p.bBatch + select(0u, u32(h), inside[j]) * p.bH;
    }
    var aOffset = image * p.aBatch + y * p.aLine;
    for (var x = 0u; x < p.pixels; x++) {
      var right: array<f32, TN>;
      for (var j = 0u; j < SINGLES; j++) {
        if (PADDED) {
          let w = i32(x * p.strideW) + tapW[j];
          let valid = inside[j] && w >= 0 && w < i32(p.sourceW);
          // an index outside the row or the buffer loads some value of the buffer, which is not used
          right[j] = select(fill[j], rightOne(offset[j] + u32(w) * p.bW), valid);
        } else {
          right[j] = select(fill[j], rightOne(offset[j]), usable[j]);
        }
      }
      for (var v = 0u; v < FOURS; v++) {
        let four = rightFour(offset[4u * v]);
        for (var i = 0u; i < 4u; i++) { right[4u * v + i] = select(fill[4u * v + i], four[i], usable[4u * v + i]); }
      }
      if (!PADDED) {
        for (var j = 0u; j < TN; j++) { offset[j] += p.bW; }
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
      aOffset += p.aPixel;
    }
  }

  // Straight-line code takes results at constant places. Where a loop stays a loop, registers must not be addressed by
  // a variable, so the next column, and in it the next row, comes to the front instead. Not in straight-line code:
  // Mesa compiles registers that move in the loop that reads them wrong for AMD's GPUs.
  for (var j = 0u; j < select(p.tileColumns, TN, UNROLLED); j++) {
    var line: array<f32, TM>;
    for (var i = 0u; i < TM; i++) {
      if (UNROLLED) {
        line[i] = acc[i][j];
      } else {
        line[i] = acc[i][0];
        for (var t = 0u; t + 1u < TN; t++) { acc[i][t] = acc[i][t + 1u]; }
      }
    }
    let column = columnOf(firstColumn, local.x, j);
    if (column < p.columns + p.bias) {
      for (var i = 0u; i < select(p.tileRows, TM, UNROLLED); i++) {
        var value = line[0];
        if (UNROLLED) {
          value = line[i];
        } else {
          for (var t = 0u; t + 1u < TM; t++) { line[t] = line[t + 1u]; }
        }
        if (row0 + i < p.rows) { store(rowOffset + row0 + i, column, split, value); }
      }
    }
  }
}
