// Implicit-GEMM weight gradient through workgroup memory: the products, parameters and splits of gemm/weightGradient.
// The contraction runs over the pixels of a range of lines without a break, so that a stage may end in the middle of
// a line.
//#import "gemm/tile.wgsl"
//#import "gemm/weightProblem.wgsl"
//#region left
//#import "gemm/left.wgsl"
//#endregion
//#region right
//#import "gemm/right.wgsl"
//#endregion

const PADDED = true; // false: one tap, no padding, stride 1, so that every pixel of the gradient has its input
// How operands are loaded: 0 = number by number, 1 = four rows (columns) at once, 2 = four pixels of a row (column)
// at once
const LEFT = 0u;
const RIGHT = 0u;
const ALONG = true; // lanes that load number by number run along the pixels instead of the rows or columns

// Columns of the tile: the first element, row and column of the tap, and what there is: 0 = inputs, 1 = ones, 2 =
// nothing.
var<workgroup> columnTable: array<vec4i, COLUMNS>;

struct Pixel { image: u32, y: u32, x: u32 }

fn pixelOf(at: u32) -> Pixel {
  let line = at / p.pixels;
  return Pixel(line / p.linesPerImage, line % p.linesPerImage, at % p.pixels);
}

fn leftOffset(at: Pixel) -> u32 { return p.aBase + at.image * p.aBatch + at.y * p.aLine + at.x * p.aPixel; }

@compute @workgroup_size(TX, TY)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let channelGroup = group.z % p.groups;
  let split = group.z / p.groups;
  let row0 = group.y * ROWS;
  let firstColumn = group.x * COLUMNS;
  let rowOffset = channelGroup * p.rows;
  let thread = local.y * TX + local.x;

  for (var at = thread; at < COLUMNS; at += THREADS) {
    let column = firstColumn + at;
    let channel = channelGroup * (p.columns / p.taps) + column / p.taps;
    let tap = column % p.taps;
    columnTable[at] = vec4i(
      i32(p.bBase + channel * p.bChannel),
      i32(tap / p.tapsW * p.dilationH) - p.paddingH,
      i32(tap % p.tapsW * p.dilationW) - p.paddingW,
      select(select(2, 1, column == p.columns), 0, column < p.columns),
    );
  }
  workgroupBarrier();

  var sums: Sums;
  let end = min((split + 1u) * p.linesPerSplit, p.lines) * p.pixels;
  // Pixels past the end are 0 * 0, which changes no sum; rows past the end repeat the last and are never stored.
  for (var first = split * p.linesPerSplit * p.pixels; first < end; first += BK) {
    // lanes that run along the pixels keep theirs through a stage
    let along = pixelOf(min(first + thread % BK, end - 1u));
    if (LEFT == 2u) {
      for (var block = thread; block < BK / 4u * (ROWS / 4u); block += THREADS) {
        let k = block % (BK / 4u) * 4u;
        let quad = block / (BK / 4u);
        var rows = mat4x4f();
        if (first + k < end) {
          let start = leftOffset(pixelOf(first + k));
          for (var i = 0u; i < 4u; i++) {
            rows[i] = leftFour(start + (rowOffset + min(row0 + 4u * quad + i, p.rows - 1u)) * p.aRow);
          }
        }
        let pixels = transpose(rows);
        for (var i = 0u; i < 4u; i++) { leftTile[(k + i) * LEFT_LINE + quad] = pixels[i]; }
      }
    } else {
      for (var at = thread; at < BK * (ROWS / 4u); at += THREADS) {
        let k = select(at / (ROWS / 4u), at % BK, ALONG);
        let quad = select(at % (ROWS / 4u), at / BK, ALONG);
        var rows = vec4f(); // written out: some drivers keep the value of the last iteration
        if (first + k < end) {
          var pixel = along;
          if (!ALONG) { pixel = pixelOf(first + k); }
          let start = leftOffset(pixel);
          if (LEFT == 1u) {
            rows = leftFour(start + rowOffset + min(row0 + 4u * quad, p.rows - 4u));
          } else {
            for (var i = 0u; i < 4u; i++) {
              rows[i] = leftOne(start + (rowOffset + min(row0 + 4u * quad + i, p.rows - 1u)) * p.aRow);
            }
          }
        }
        leftTile[k * LEFT_LINE + quad] = rows;
      }
    }
    if (RIGHT == 2u) {
      for (var block = thread; block < BK / 4u * (COLUMNS / 4u); block += THREADS) {
        let k = block % (BK / 4u) * 4u;
        let slot = block / (BK / 4u);
        var four = mat4x4f();
        if (first + k < end) {
          let at = pixelOf(first + k);
          let start = at.image * p.bBatch + at.y * p.bH + at.x * p.bW;
          for (var i = 0u; i < 4u; i++) {
            let column = columnTable[columnOf(slot % TX, slot / TX * 4u + i)];
            if (column.w == 0) {
              four[i] = rightFour(u32(column.x) + start);
            } else {
              four[i] = vec4f(select(0.0, 1.0, column.w == 1));
            }
          }
        }
        let pixels = transpose(four);
        for (var i = 0u; i < 4u; i++) { rightTile[(k + i) * RIGHT_LINE + slot] = pixels[i]; }
      }
    } else {
      for (var at = thread; at < BK * (COLUMNS / 4u); at += THREADS) {
        let k = select(at / (COLUMNS / 4u), at % BK, ALONG);
        let slot = select(at % (COLUMNS / 4u), at / BK, ALONG);
        var four = vec4f(); // written out: some drivers keep the value of the last iteration
        if (first + k < end) {
          var pixel = along;
          if (!ALONG) { pixel = pixelOf(first + k); }
          let start = pixel.image * p.bBatch;
          if (RIGHT == 1u && columnTable[columnOf(slot % TX, slot / TX * 4u)].w == 0) {
            four = rightFour(u32(columnTable[columnOf(slot % TX, slot / TX * 4u)].x) + start + pixel.y * p.bH
              + pixel.x * p.bW);
          } else {
            for (var i = 0u; i < 4u; i++) {
              let column = columnTable[columnOf(slot % TX, slot / TX * 4u + i)];
              let h = i32(pixel.y * p.strideH) + column.y;
              let w = i32(pixel.x * p.strideW) + column.z;
              let inside = column.w == 0 && (!PADDED || (h >= 0 && h < i32(p.sourceH) && w >= 0 && w < i32(p.sourceW)));
              let offset = u32(column.x) + start + u32(h) * p.bH + u32(w) * p.bW;
              four[i] = select(select(0.0, 1.0, column.w == 1), rightOne(select(0u, offset, inside)), inside);
            }
          }
        }
        rightTile[k * RIGHT_LINE + slot] = four;
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

  // In a column, too, rows have constant places or come to the front, as in takeColumn.
  for (var j = 0u; j < select(p.tileColumns, RN, UNROLLED); j++) {
    var line = takeColumn(&sums, j);
    let column = firstColumn + columnOf(local.x, j);
    if (column < p.columns + p.bias) {
      for (var i = 0u; i < select(p.tileRows, RM, UNROLLED); i++) {
        var value = line[0];
        if (UNROLLED) {
          value = line[i];
        } else {
          for (var t = 0u; t + 1u < RM; t++) { line[t] = line[t + 1u]; }
        }
        let row = row0 + local.y * RM + i;
        if (row < p.rows) { store(rowOffset + row, column, split, value); }
      }
    }
  }
}
