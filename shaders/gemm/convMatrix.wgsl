// Implicit-GEMM convolution on subgroup matrices (tensor cores): the products and parameters of gemm/conv. The sum
// runs over taps (row-major), then over the products of a tap in matrices of K; inside one the adapter adds as it
// likes, so this order is one of its own. Operands become f16 on their way into workgroup memory where the matrices
// are of f16; sums and results are f32.
//#import "gemm/tileColumn.wgsl"
//#import "gemm/left.wgsl"
//#import "gemm/right.wgsl"
//#import "gemm/matrixTile.wgsl"
//#region matrices
//#import "gemm/matrixUnits.wgsl"
//#endregion

const PADDED = true; // false: no tap of any column falls outside the source
const ALONG = false; // lanes that load the left operand run along the products instead of the rows

//#region size
//#endregion
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32,
//#region subgroup
  @builtin(subgroup_id) subgroup: u32
//#endregion
) {
//#region no subgroup
//#endregion
  let phase = phaseOf(group.z);
  let channelGroup = phase.channelGroup;
  let firstColumn = group.x * COLUMNS;
  if (firstColumn >= phase.columns) { return; }
  let row0 = group.y * ROWS;

  // An invocation loads one column of the tile, some of its products.
  let columnOfMine = thread % COLUMNS;
  let place = placeOf(phase, min(firstColumn + columnOfMine, phase.columns - 1u));

  let lane = thread % SUBGROUP;
  var sums: array<array<Result, NJ>, MI>;
  let leftMatrices = subgroup / SX * MI * M * LEFT_LINE;
  let rightMatrices = subgroup % SX * NJ * N;
  let originH = p.tapOriginH + i32(phase.h);
  let originW = p.tapOriginW + i32(phase.w);
  for (var kh = 0u; kh < p.tapsH; kh++) {
    let th = originH + i32(kh) * p.tapStepH;
    if (th % i32(p.phasesH) != 0) { continue; }
    for (var kw = 0u; kw < p.tapsW; kw++) {
      let tw = originW + i32(kw) * p.tapStepW;
      if (tw % i32(p.phasesW) != 0) { continue; }
      let h = i32(place.y) * i32(p.stepH) + th / i32(p.phasesH);
      let w = i32(place.z) * i32(p.stepW) + tw / i32(p.phasesW);
      let inside = !PADDED || (h >= 0 && h < i32(p.sourceH) && w >= 0 && w < i32(p.sourceW));
      let offset = select(0u, place.x * p.bBatch + u32(h) * p.bH + u32(w) * p.bW, inside)
        + p.bBase + channelGroup * p.bGroup;
      let aStart = p.aBase + channelGroup * p.aGroup + kh * p.aTapH + kw * p.aTapW;
      // Products past the end are 0 * 0; rows past the end repeat the last and are never stored.
      for (var first = 0u; first < p.inner; first += BK) {
        for (var at = thread; at < ROWS * BK; at += THREADS) {
          let k = select(at / ROWS, at % BK, ALONG);
          let row = select(at % ROWS, at / BK, ALONG);
          let value = leftOne(aStart + min(row0 + row, p.rows - 1u) * p.aRow + (first + k) * p.aInner);
          leftTile[row * LEFT_LINE + k] = Element(select(0.0, value, first + k < p.inner));
        }
        for (var k = thread / COLUMNS; k < BK; k += THREADS / COLUMNS) {
          let value = rightOne(offset + (first + k) * p.bInner);
          rightTile[k * RIGHT_LINE + columnOfMine] = Element(select(0.0, value, inside && first + k < p.inner));
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k += K) {
          var left: array<Left, MI>;
          for (var i = 0u; i < MI; i++) { left[i] = loadLeft(leftMatrices + i * M * LEFT_LINE + k); }
          for (var j = 0u; j < NJ; j++) {
            let right = loadRight(k * RIGHT_LINE + rightMatrices + j * N);
            for (var i = 0u; i < MI; i++) { sums[i][j] = multiplyAdd(left[i], right, sums[i][j], lane); }
          }
        }
        workgroupBarrier();
      }
    }
  }

  // Results reach the epilogue through workgroup memory, in bands of RM rows: a lane takes one column of each band.
  let stretch = subgroup * RM * RESULT_LINE;
  for (var band = 0u; band < MI * M / RM; band++) {
    for (var i = 0u; i < RM / M; i++) {
      for (var j = 0u; j < NJ; j++) {
        storeResult(stretch + i * M * RESULT_LINE + j * N, sums[band * (RM / M) + i][j], lane);
      }
    }
    workgroupBarrier();
    let rowOfMine = row0 + subgroup / SX * MI * M + band * RM;
    for (var j = lane; j < NJ * N; j += SUBGROUP) {
      let resultColumn = firstColumn + rightMatrices + j;
      if (resultColumn < phase.columns && rowOfMine < p.rows) {
        var line: array<f32, RM>;
        for (var i = 0u; i < RM; i++) { line[i] = results[stretch + i * RESULT_LINE + j]; }
        let at = placeOf(phase, resultColumn);
        let pixel = pixelAt(phase, at.y, at.z);
        storeColumn(line, at.x, pixel, channelGroup * p.rows + p.rowStart + rowOfMine, p.rows - rowOfMine);
      }
    }
    workgroupBarrier();
  }
}
