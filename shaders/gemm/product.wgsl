// What the kernels of products with an epilogue share: two operands, the result, and the pointwise operations behind it.
//#import "gemm/lanes.wgsl"

@group(1) @binding(1) var<storage, read> a: array<f32>;
@group(1) @binding(2) var<storage, read> b: array<f32>;
@group(1) @binding(3) var<storage, read_write> c: array<f32>;
//#region bindings
//#endregion

// The place of one output value, handed to the epilogue; `index` counts elements of the whole tensor.
struct Place { channel: u32, image: u32, pixel: u32, index: u32 }

//#region epilogue
fn finish(value: f32, at: Place) -> f32 { return value; }
//#endregion
