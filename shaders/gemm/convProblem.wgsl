// Parameters of an implicit-GEMM convolution; see gemm/conv.wgsl. C[row, col] = sum over (tap, k) of A[row, k, tap] * B[k, source(col, tap)].
struct Params {
  rows: u32, batch: u32, inner: u32, groups: u32,
  tapsH: u32, tapsW: u32, colsH: u32, colsW: u32,
  sourceH: u32, sourceW: u32, stepH: u32, stepW: u32,
  tapOriginH: i32, tapOriginW: i32, tapStepH: i32, tapStepW: i32,
  phasesH: u32, phasesW: u32, aRow: u32, aInner: u32,
  aTapH: u32, aTapW: u32, aGroup: u32, aBase: u32,
  bBatch: u32, bInner: u32, bH: u32, bW: u32,
  bGroup: u32, bBase: u32, cBase: u32, cBatch: u32,
  cRow: u32, cW: u32, rowStart: u32, tileColumns: u32,
  tileRows: u32, innerPart: u32,
//#region params
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
