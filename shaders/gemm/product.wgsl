// What the kernels of products with an epilogue share: two operands, the result, and the pointwise operations behind
// it.
//#import "gemm/lanes.wgsl"

@group(1) @binding(1) var<storage, read> a: array<f32>;
//#region right
//#import "gemm/right.wgsl"
//#endregion
@group(1) @binding(3) var<storage, read_write> c: array<Values>;
//#import "gemm/finish.wgsl"
