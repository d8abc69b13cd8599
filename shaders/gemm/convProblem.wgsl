// Parameters of an implicit-GEMM convolution; see gemm/conv.wgsl. C[row, col] = sum over (tap, k) of A[row, k, tap] *
// B[k, source(col, tap)].
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

// One of the small dense convolutions that z enumerates: channel group, then row and column of the phase.
struct Phase { channelGroup: u32, h: u32, w: u32, colsW: u32, plane: u32, columns: u32 }

fn phaseOf(z: u32) -> Phase {
  let w = z % p.phasesW;
  let h = (z / p.phasesW) % p.phasesH;
  let colsH = (p.colsH + p.phasesH - 1u - h) / p.phasesH;
  let colsW = (p.colsW + p.phasesW - 1u - w) / p.phasesW;
  return Phase(z / (p.phasesW * p.phasesH), h, w, colsW, colsH * colsW, colsH * colsW * p.batch);
}

// Image of a phase's column, and its row and column there.
fn placeOf(phase: Phase, column: u32) -> vec3u {
  let pixel = column % phase.plane;
  return vec3u(column / phase.plane, pixel / phase.colsW, pixel % phase.colsW);
}

// Pixel of the whole result at a phase's row and column.
fn pixelAt(phase: Phase, h: u32, w: u32) -> u32 {
  return (h * p.phasesH + phase.h) * p.colsW + w * p.phasesW + phase.w;
}
