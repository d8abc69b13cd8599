// Convolution by rows, forward and input gradient: the same products as gemm/conv, but an invocation owns TN
// neighboring outputs of one row, so the (TN - 1) STEP + TAPS inputs it loads serve all TAPS taps of that row: a
// 3-tap row of 8 outputs needs 10 loads where the general kernel needs 24. With one tap it is a plain product that
// loads in fours. The sum runs over tap rows, then k, then the taps of the row, in the order of the window: it
// depends on the layer only.
//#import "gemm/product.wgsl"

const TM = 16u; //#given rows (channels) of an invocation
const TN = 8u; //#given neighboring outputs of an invocation
const WX = 8u; //#given lanes of a workgroup
const SG = 8u; //#given lanes that share their A loads
const TAPS = 3u; // taps of a kernel row
const STEP = 1u; // stride along the rows
const INPUTS = 10u; // of a strip: (TN - 1) STEP + TAPS
// Inputs FIRST <= t < LAST of a strip lie inside the row in every strip that needs them, so only the others are
// checked.
const FIRST = 1u;
const LAST = 9u;
const INSIDE = false; // true: no tap lies above or below the image
const SOLE = false; // true: a strip is a whole row, so the others never lie inside and need not be loaded
// A strip's inputs: HEAD numbers, FOURS vectors of four where rows begin at multiples of four, TAIL numbers.
const HEAD = 0u;
const FOURS = 0u;
const TAIL = 10u;
const IMAGES = false; // true: the outputs of a row are images of one pixel each, as the columns of a linear layer are
const WHOLE = false; // true: there are TM rows in every tile
const RUN = 4u; // rows stored one after the other before the next ones come to the front
const BY_ROWS = false; // true: results are stored row by row, ABREAST at a time; strips and tiles are all full
const STRAIGHT = false; // true: and by straight-line code, because every lane has a strip
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given

struct Params {
  rows: u32, batch: u32, inner: u32, groups: u32,
  tapsH: u32, colsH: u32, colsW: u32, stripsPerRow: u32,
  sourceH: u32, sourceW: u32, stepH: u32, dilationH: u32,
  originH: i32, originW: i32, aTapW: i32, aTapH: i32,
  aRow: u32, aInner: u32, aGroup: u32, aBase: u32,
  bBatch: u32, bInner: u32, bH: u32, bGroup: u32,
  bBase: u32, cBase: u32, cBatch: u32, cRow: u32,
  cFirst: u32, cH: u32, cW: u32,
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
  let strips = p.batch * p.colsH * p.stripsPerRow;
  let strip = group.x * WX + local.x;
  let row0 = group.y * TM;
  // lanes past the end repeat the last strip and store nothing
  let mine = min(strip, strips - 1u);
  let stripImage = mine / (p.colsH * p.stripsPerRow);
  let y = (mine / p.stripsPerRow) % p.colsH;
  let x0 = (mine % p.stripsPerRow) * TN;

  var inside: array<bool, INPUTS>;
  for (var t = 0u; t < INPUTS; t++) {
    let x = i32(x0 * STEP + t) + p.originW;
    inside[t] = x >= 0 && x < i32(p.sourceW);
  }
  let start = i32(p.bBase + channelGroup * p.bGroup + stripImage * p.bBatch) + i32(x0 * STEP) + p.originW;

  var aRows: array<u32, TM>;
  for (var g = 0u; g < TM / SG; g++) {
    aRows[g] = p.aBase + channelGroup * p.aGroup + min(row0 + g * SG + (lane % SG), p.rows - 1u) * p.aRow;
  }

  var acc: array<array<f32, TN>, TM>;
  for (var kh = 0u; kh < p.tapsH; kh++) {
    let sourceY = i32(y * p.stepH + kh * p.dilationH) + p.originH;
    let rowInside = sourceY >= 0 && sourceY < i32(p.sourceH);
    var offset = start + select(0, sourceY, INSIDE || rowInside) * i32(p.bH);
    var aOffset = u32(i32(kh) * p.aTapH);
    for (var k = 0u; k < p.inner; k++) {
      var right: array<f32, INPUTS>;
      // an index outside the row or the buffer loads some value of the buffer, which is not used
      let first = u32(offset);
      for (var t = 0u; t < HEAD; t++) { right[t] = rightOne(first + t); }
      for (var v = 0u; v < FOURS; v++) {
        let four = rightFour(first + HEAD + 4u * v);
        for (var i = 0u; i < 4u; i++) { right[HEAD + 4u * v + i] = four[i]; }
      }
      for (var t = 0u; t < TAIL; t++) { right[HEAD + 4u * FOURS + t] = rightOne(first + HEAD + 4u * FOURS + t); }
      for (var t = 0u; t < INPUTS; t++) {
        right[t] = select(0.0, right[t], (INSIDE || rowInside) && ((t >= FIRST && t < LAST) || (!SOLE && inside[t])));
      }
      // all loads before the products: a driver that branches in loads keeps the sums in place only in what is not
      // branched
      var left: array<array<f32, TAPS>, TM / SG>;
      for (var g = 0u; g < TM / SG; g++) {
        for (var t = 0u; t < TAPS; t++) { left[g][t] = a[aRows[g] + u32(i32(aOffset) + i32(t) * p.aTapW)]; }
      }
      for (var g = 0u; g < TM / SG; g++) {
        for (var i = 0u; i < SG; i++) {
          // all taps of a row before the next row, so that its sums stay in registers
          for (var t = 0u; t < TAPS; t++) {
            let value = broadcast(left[g][t], lane, i);
            for (var j = 0u; j < TN; j++) { acc[g * SG + i][j] += value * right[j * STEP + t]; }
          }
        }
      }
      offset += i32(p.bInner);
      aOffset += p.aInner;
    }
  }

  let tileColumns = select(p.tileColumns, TN, UNROLLED);
  let tileRows = select(p.tileRows, TM, UNROLLED);
  let rows = p.rows;
  let rowPitch = p.cRow;
  if (!BY_ROWS && strip < strips) {
    let firstChannel = channelGroup * rows + row0;
    // Straight-line code takes results at constant places. Where a loop stays a loop, registers must not be addressed
    // by a variable, so the next column, and in it the next RUN rows, come to the front instead; see gemm/conv.
    for (var j = 0u; j < tileColumns; j++) {
      var line: array<f32, TM>;
      for (var i = 0u; i < TM; i++) {
        if (UNROLLED) {
          line[i] = acc[i][j];
        } else {
          line[i] = acc[i][0];
          for (var t = 0u; t + 1u < TN; t++) { acc[i][t] = acc[i][t + 1u]; }
        }
      }
      if (x0 + j < p.colsW) {
        let image = select(stripImage, x0 + j, IMAGES);
        let pixel = select(p.cFirst + y * p.cH + (x0 + j) * p.cW, 0u, IMAGES);
        let slot = 0u;
        var index = image * p.cBatch + firstChannel * rowPitch + pixel;
//#region begin column
//#endregion
        for (var i = 0u; i < tileRows; i += RUN) {
          for (var r = 0u; r < RUN; r++) {
            if (WHOLE || row0 + i + r < rows) {
              let place = Place(firstChannel + i + r, image, pixel, index, 0u);
              c[p.cBase + index] = finish(valuesOf(vec4f(line[select(0u, i, UNROLLED) + r])), place);
            }
            index += rowPitch;
          }
          if (!UNROLLED) {
            for (var t = 0u; t < TM - RUN; t++) { line[t] = line[t + RUN]; }
          }
        }
//#region end column
//#endregion
      }
    }
  }
  // Straight-line code is outside all branches and loops: no lane can be idle, so a driver that stores lane by lane
  // need not ask each.
  if (BY_ROWS && (STRAIGHT || strip < strips)) {
    let image = stripImage;
    let firstChannel = channelGroup * rows + row0;
    let corner = p.cFirst + y * p.cH + x0;
    for (var slot = 0u; slot < TN / ABREAST; slot++) {
      let pixel = corner + slot * ABREAST;
//#region begin column
//#endregion
    }
    var index = image * p.cBatch + firstChannel * rowPitch + corner;
    for (var i = 0u; i < select(tileRows, TM, STRAIGHT); i += RUN) {
      for (var r = 0u; r < RUN; r++) {
        for (var slot = 0u; slot < TN / ABREAST; slot++) {
          let j = slot * ABREAST;
          let numbers = vec4f(acc[r][j], acc[r][min(j + 1u, TN - 1u)], acc[r][min(j + 2u, TN - 1u)],
            acc[r][min(j + 3u, TN - 1u)]);
          let place = Place(firstChannel + i + r, image, corner + j, index + j, slot);
          c[(p.cBase + index + j) / ABREAST] = finish(valuesOf(numbers), place);
        }
        index += rowPitch;
      }
      for (var t = 0u; t < TM - RUN; t++) { acc[t] = acc[t + RUN]; }
    }
    for (var slot = 0u; slot < TN / ABREAST; slot++) {
      let pixel = corner + slot * ABREAST;
//#region end column
//#endregion
    }
  }
}
