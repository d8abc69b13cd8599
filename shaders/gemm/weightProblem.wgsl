// Parameters and result of an implicit-GEMM weight gradient; see gemm/weightGradient.wgsl.
//#import "gemm/weightParameters.wgsl"

@group(1) @binding(3) var<storage, read_write> c: array<f32>;
//#region bindings
@group(1) @binding(4) var<storage, read_write> biasGradient: array<f32>;
//#endregion

fn store(row: u32, column: u32, split: u32, value: f32) {
//#region store
  if (column == p.columns) {
    biasGradient[p.biasBase + row] = value;
  } else {
    c[p.cBase + row * p.columns + column] = value;
  }
//#endregion
}
