// Weight gradient by rows: the sums of gemm/weightGradient in the same order, but an invocation owns all TAPS taps of
// one row of the window for CHANNELS input channels, and goes along the output pixels of a line in strips of PIXELS:
// the inputs of a strip serve all taps of the row, and neighbors load in fours. A 3-tap row of 8 pixels needs 10
// inputs where the general kernel needs 24.
//#import "gemm/lanes.wgsl"
//#import "gemm/weightProblem.wgsl"
//#region left
//#import "gemm/left.wgsl"
//#endregion
//#region right
//#import "gemm/right.wgsl"
//#endregion

const TM = 8u; //#given rows (output channels) of an invocation
const TN = 6u; //#given results of each row: TAPS of each input channel
const WX = 8u; //#given lanes of a workgroup
const SG = 8u; //#given lanes that share their gradient loads
const TAPS = 3u; // taps of a row of the window
const STEP = 1u; // stride along the rows
const CHANNELS = 2u; // input channels of an invocation: TN / TAPS
const PIXELS = 8u; // output pixels of a strip
const INPUTS = 10u; // of a strip and channel: (PIXELS - 1) STEP + TAPS
// Inputs FIRST <= t < LAST of a strip lie inside the row in every strip, so only the others are checked.
const FIRST = 1u;
const LAST = 9u;
const SOLE = false; // true: a strip is a whole line, so the others never lie inside and need not be loaded
// A strip's inputs: HEAD numbers, FOURS vectors of four where rows begin at multiples of four, TAIL numbers; its
// gradients: LEFT_FOURS vectors.
const HEAD = 0u;
// true: the head lies before the row in its first strip, and is the end of the strip before in every other
const CARRIED = false;
const FOURS = 0u;
const TAIL = 10u;
const LEFT_FOURS = 0u;
// true: all lanes of a workgroup have the same row of the window, and pass over lines for which it lies outside
const TOGETHER = false;
const RAGGED = false; // true: the last strip of a line is longer than what is left of it
// true: one in CACHE_LINE of a line's inputs, or gradients, is loaded ahead of its strips, so that a processor waits
// for many lines of its cache at once and not for one after the other
const FETCH = false;
const FETCH_LEFT = false;
const CACHE_LINE = 16u;
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
  let tapsH = p.taps / TAPS;
  // owners are (block of channels, tap row); one more sums the gradient itself, for the bias
  let owners = (channels + CHANNELS - 1u) / CHANNELS * tapsH;
  let owner = group.x * WX + local.x;
  let kh = select(owner, group.x, TOGETHER) % tapsH;
  let channel0 = select(owner / tapsH, group.x / tapsH * WX + local.x, TOGETHER) * CHANNELS;
  let tapH = i32(kh * p.dilationH) - p.paddingH;

  var base: array<u32, CHANNELS>;
  for (var k = 0u; k < CHANNELS; k++) {
    base[k] = p.bBase + (channelGroup * channels + min(channel0 + k, channels - 1u)) * p.bChannel;
  }
  var aRows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) {
    aRows[g] = p.aBase + (rowOffset + min(row0 + g * SG + (lane % SG), p.rows - 1u)) * p.aRow;
  }
  let fill = select(0.0, 1.0, owner == owners);

  var acc: array<array<f32, TN>, TM>;
  var fetched = 0.0;
  let lastLine = min((split + 1u) * p.linesPerSplit, p.lines);
  var image = split * p.linesPerSplit / p.linesPerImage;
  var y = split * p.linesPerSplit % p.linesPerImage;
  for (var line = split * p.linesPerSplit; line < lastLine; line++) {
    let h = i32(y * p.strideH) + tapH;
    let rowInside = owner < owners && h >= 0 && h < i32(p.sourceH);
    let bOffset = image * p.bBatch + select(0u, u32(h), rowInside) * p.bH;
    let aOffset = image * p.aBatch + y * p.aLine;
    var carried: array<array<f32, HEAD + 1u>, CHANNELS>;
    for (var k = 0u; k < CHANNELS; k++) {
      for (var t = 0u; t < HEAD; t++) { carried[k][t] = fill; }
    }
    let inLine = i32(y * p.strideH + group.x % tapsH * p.dilationH) - p.paddingH;
    let pixels = select(p.pixels, 0u, TOGETHER && (inLine < 0 || inLine >= i32(p.sourceH)));
    for (var k = 0u; k < CHANNELS; k++) {
      for (var t = 0u; t < select(0u, p.sourceW, FETCH); t += CACHE_LINE) {
        fetched += rightOne(base[k] + bOffset + t);
      }
    }
    for (var g = 0u; g < TM / SG; g++) {
      for (var t = 0u; t < select(0u, p.pixels, FETCH_LEFT); t += CACHE_LINE) {
        fetched += leftOne(aRows[g] + aOffset + t);
      }
    }
    for (var x = 0u; x < pixels; x += PIXELS) {
      let w0 = i32(x * STEP) - p.paddingW;
      var right: array<array<f32, INPUTS>, CHANNELS>;
      for (var k = 0u; k < CHANNELS; k++) {
        // an index outside the row or the buffer loads some value of the buffer, which is not used
        let first = base[k] + bOffset + u32(w0);
        for (var t = 0u; t < HEAD; t++) {
          if (!CARRIED) { right[k][t] = rightOne(first + t); }
        }
        for (var v = 0u; v < FOURS; v++) {
          let four = rightFour(first + HEAD + 4u * v);
          for (var i = 0u; i < 4u; i++) { right[k][HEAD + 4u * v + i] = four[i]; }
        }
        for (var t = 0u; t < TAIL; t++) { right[k][HEAD + 4u * FOURS + t] = rightOne(first + HEAD + 4u * FOURS + t); }
        for (var t = 0u; t < INPUTS; t++) {
          let w = w0 + i32(t);
          right[k][t] = select(fill, right[k][t], rowInside && ((t >= FIRST && t < LAST)
            || (!SOLE && w >= 0 && w < i32(p.sourceW))));
        }
        if (CARRIED) {
          for (var t = 0u; t < HEAD; t++) {
            right[k][t] = carried[k][t];
            carried[k][t] = right[k][min(PIXELS * STEP + t, INPUTS - 1u)];
          }
        }
      }
      // all loads before the products: a driver that branches in loads keeps the sums in place only in what is not
      // branched
      var left: array<array<f32, PIXELS>, TM / SG>;
      for (var g = 0u; g < TM / SG; g++) {
        let first = aRows[g] + aOffset + x;
        for (var v = 0u; v < LEFT_FOURS; v++) {
          let four = leftFour(first + 4u * v);
          for (var i = 0u; i < 4u; i++) { left[g][4u * v + i] = four[i]; }
        }
        for (var t = 4u * LEFT_FOURS; t < PIXELS; t++) { left[g][t] = leftOne(first + t); }
        if (RAGGED) {
          for (var t = 0u; t < PIXELS; t++) { left[g][t] = select(0.0, left[g][t], x + t < p.pixels); }
        }
      }
      for (var g = 0u; g < TM / SG; g++) {
        for (var i = 0u; i < SG; i++) {
          // all pixels of a row before the next row, so that its sums stay in registers
          for (var t = 0u; t < PIXELS; t++) {
            let value = broadcast(left[g][t], lane, i);
            for (var k = 0u; k < CHANNELS; k++) {
              for (var q = 0u; q < TAPS; q++) { acc[g * SG + i][k * TAPS + q] += value * right[k][t * STEP + q]; }
            }
          }
        }
      }
    }
    // counted, because dividing is slow
    y++;
    image += select(0u, 1u, y == p.linesPerImage);
    y = select(y, 0u, y == p.linesPerImage);
  }

  // there are rows, but no compiler knows it and leaves the loads out
  acc[0][0] = select(acc[0][0], fetched, FETCH && p.rows == 0u);
  // Registers are never addressed by a variable: the next column, and in it the next row, comes to the front instead.
  for (var j = 0u; j < select(p.tileColumns, TN, UNROLLED); j++) {
    var line: array<f32, TM>;
    for (var i = 0u; i < TM; i++) {
      line[i] = acc[i][0];
      for (var t = 0u; t + 1u < TN; t++) { acc[i][t] = acc[i][t + 1u]; }
    }
    let channel = channel0 + j / TAPS;
    let isBias = owner == owners && p.bias == 1u && j == 0u;
    if ((owner < owners && channel < channels) || isBias) {
      let column = select(channel * p.taps + kh * TAPS + j % TAPS, p.columns, isBias);
      for (var i = 0u; i < select(p.tileRows, TM, UNROLLED); i++) {
        let value = line[0];
        for (var t = 0u; t + 1u < TM; t++) { line[t] = line[t + 1u]; }
        if (row0 + i < p.rows) { store(rowOffset + row0 + i, column, split, value); }
      }
    }
  }
}
