// Parameters of an implicit-GEMM weight gradient; see gemm/weightGradient.wgsl.
struct Params {
  rows: u32, columns: u32, groups: u32, bias: u32,
  lines: u32, linesPerSplit: u32, linesPerImage: u32, pixels: u32,
  taps: u32, tapsW: u32, sourceH: u32, sourceW: u32,
  strideH: u32, strideW: u32, dilationH: u32, dilationW: u32,
  paddingH: i32, paddingW: i32, aBase: u32, aBatch: u32,
  aRow: u32, aLine: u32, aPixel: u32, bBase: u32,
  bBatch: u32, bChannel: u32, bH: u32, bW: u32,
  cBase: u32, cSplit: u32, biasBase: u32, firstSplit: u32,
  tileColumns: u32, tileRows: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
