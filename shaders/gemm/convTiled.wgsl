// Implicit-GEMM convolution through workgroup memory: the products, parameters and order of sums of gemm/conv, so
// that either may stand for the other. Meant for GPUs and for enough outputs to fill one: a stage of BK products is
// loaded once per workgroup and serves TY * RM rows and TX * RN columns, where gemm/conv's loads serve one subgroup.
//#import "gemm/tile.wgsl"
//#import "gemm/tileColumn.wgsl"
//#region left
//#import "gemm/left.wgsl"
//#endregion
//#region right
//#import "gemm/right.wgsl"
//#endregion

const ACCUMULATE = false; // true: go on from the sums that C holds already
// true: z also enumerates parts of the contraction, innerPart products a tap each, whose results lie one behind the
// other
const SPLIT = false;
const PADDED = true; // false: no tap of any column falls outside the source
// How operands are loaded: 0 = number by number, 1 = four rows (columns) at once, 2 = four products of a row (column)
// at once
const LEFT = 0u;
const RIGHT = 0u;
const ALONG = false; // lanes that load the left operand number by number run along the products instead of the rows

@compute @workgroup_size(TX, TY)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let phase = phaseOf(group.z);
  let channelGroup = select(phase.channelGroup, phase.channelGroup % p.groups, SPLIT);
  let part = select(0u, phase.channelGroup / p.groups, SPLIT);
  let innerEnd = select(p.inner, min(p.inner, (part + 1u) * p.innerPart), SPLIT);
  let firstColumn = group.x * COLUMNS;
  if (firstColumn >= phase.columns) { return; }
  let row0 = group.y * ROWS;
  let thread = local.y * TX + local.x;

  // An invocation loads, for all ranks, the columns whose results are its own.
  var colImage: array<u32, RN>;
  var colH: array<i32, RN>;
  var colW: array<i32, RN>;
  for (var j = 0u; j < RN; j++) {
    let place = placeOf(phase, min(firstColumn + columnOf(local.x, j), phase.columns - 1u));
    colImage[j] = place.x;
    colH[j] = i32(place.y);
    colW[j] = i32(place.z);
  }

  var sums: Sums;
  if (ACCUMULATE) {
    for (var j = 0u; j < RN; j++) {
      let pixel = pixelAt(phase, u32(colH[j]), u32(colW[j]));
      for (var i = 0u; i < RM; i++) {
        let channel = channelGroup * p.rows + p.rowStart + min(row0 + local.y * RM + i, p.rows - 1u);
        sums[i][j] = c[p.cBase + colImage[j] * p.cBatch + channel * p.cRow + pixel * p.cW];
      }
    }
  }
  let originH = p.tapOriginH + i32(phase.h);
  let originW = p.tapOriginW + i32(phase.w);
  for (var kh = 0u; kh < p.tapsH; kh++) {
    let th = originH + i32(kh) * p.tapStepH;
    if (th % i32(p.phasesH) != 0) { continue; }
    let shiftH = th / i32(p.phasesH);
    for (var kw = 0u; kw < p.tapsW; kw++) {
      let tw = originW + i32(kw) * p.tapStepW;
      if (tw % i32(p.phasesW) != 0) { continue; }
      let shiftW = tw / i32(p.phasesW);
      var offset: array<u32, RN>;
      var inside: array<bool, RN>;
      for (var j = 0u; j < RN; j++) {
        let h = colH[j] * i32(p.stepH) + shiftH;
        let w = colW[j] * i32(p.stepW) + shiftW;
        inside[j] = !PADDED || (h >= 0 && h < i32(p.sourceH) && w >= 0 && w < i32(p.sourceW));
        offset[j] = select(0u, colImage[j] * p.bBatch + u32(h) * p.bH + u32(w) * p.bW, inside[j])
          + p.bBase + channelGroup * p.bGroup;
      }
      let aStart = p.aBase + channelGroup * p.aGroup + kh * p.aTapH + kw * p.aTapW;
      // Products past the end are 0 * 0, which changes no sum; rows past the end repeat the last and are never stored.
      for (var first = part * p.innerPart; first < innerEnd; first += BK) {
        if (LEFT == 2u) {
          for (var block = thread; block < BK / 4u * (ROWS / 4u); block += THREADS) {
            let k = block % (BK / 4u) * 4u;
            let quad = block / (BK / 4u);
            var rows = mat4x4f();
            if (first + k < innerEnd) {
              for (var i = 0u; i < 4u; i++) {
                rows[i] = leftFour(aStart + min(row0 + 4u * quad + i, p.rows - 1u) * p.aRow + first + k);
              }
            }
            let products = transpose(rows);
            for (var i = 0u; i < 4u; i++) { leftTile[(k + i) * LEFT_LINE + quad] = products[i]; }
          }
        } else {
          for (var at = thread; at < BK * (ROWS / 4u); at += THREADS) {
            let k = select(at / (ROWS / 4u), at % BK, ALONG);
            let quad = select(at % (ROWS / 4u), at / BK, ALONG);
            var rows = vec4f(); // written out: some drivers keep the value of the last iteration
            if (first + k < innerEnd) {
              let start = aStart + (first + k) * p.aInner;
              if (LEFT == 1u) {
                rows = leftFour(start + min(row0 + 4u * quad, p.rows - 4u));
              } else {
                for (var i = 0u; i < 4u; i++) {
                  rows[i] = leftOne(start + min(row0 + 4u * quad + i, p.rows - 1u) * p.aRow);
                }
              }
            }
            leftTile[k * LEFT_LINE + quad] = rows;
          }
        }
        if (RIGHT == 2u) {
          for (var k = local.y * 4u; k < BK; k += TY * 4u) {
            for (var quad = 0u; quad < RN / 4u; quad++) {
              var four = mat4x4f();
              if (first + k < innerEnd) {
                for (var i = 0u; i < 4u; i++) { four[i] = rightFour(offset[4u * quad + i] + first + k); }
              }
              let products = transpose(four);
              for (var i = 0u; i < 4u; i++) { rightTile[(k + i) * RIGHT_LINE + slotOf(local.x, quad)] = products[i]; }
            }
          }
        } else {
          for (var k = local.y; k < BK; k += TY) {
            let start = (first + k) * p.bInner;
            for (var quad = 0u; quad < RN / 4u; quad++) {
              var four = vec4f(); // written out: some drivers keep the value of the last iteration
              if (first + k < innerEnd) {
                if (RIGHT == 1u) {
                  four = rightFour(offset[4u * quad] + start);
                } else {
                  for (var i = 0u; i < 4u; i++) {
                    four[i] = select(0.0, rightOne(offset[4u * quad + i] + start), inside[4u * quad + i]);
                  }
                }
              }
              rightTile[k * RIGHT_LINE + slotOf(local.x, quad)] = four;
            }
          }
        }
        workgroupBarrier();
        // not written as the other loops, so that no linker writes it out
        for (var k = 0u; k < BK; k += 1u) {
          var left: array<f32, RM>;
          for (var quad = 0u; quad < RM / 4u; quad++) {
            let four = leftTile[k * LEFT_LINE + local.y * (RM / 4u) + quad];
            for (var i = 0u; i < 4u; i++) { left[4u * quad + i] = four[i]; }
          }
          var right: array<f32, RN>;
          for (var quad = 0u; quad < RN / 4u; quad++) {
            let four = rightTile[k * RIGHT_LINE + quad * TX + local.x];
            for (var i = 0u; i < 4u; i++) { right[4u * quad + i] = four[i]; }
          }
          for (var i = 0u; i < RM; i++) {
            for (var j = 0u; j < RN; j++) { sums[i][j] += left[i] * right[j]; }
          }
        }
        workgroupBarrier();
      }
    }
  }

  let rowOfMine = row0 + local.y * RM;
  if (rowOfMine >= p.rows) { return; }
  for (var j = 0u; j < select(p.tileColumns, RN, UNROLLED); j++) {
    let line = takeColumn(&sums, j);
    let column = firstColumn + columnOf(local.x, j);
    if (column < phase.columns) {
      let place = placeOf(phase, column);
      let pixel = pixelAt(phase, place.y, place.z);
      let channel = channelGroup * p.rows + p.rowStart + rowOfMine;
      storeColumn(line, part * p.batch + place.x, pixel, channel, p.rows - rowOfMine);
    }
  }
}
