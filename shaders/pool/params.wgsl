// What all pooling kernels share: one invocation owns one pixel of one image of the output (`c`) and BLOCK consecutive
// channels; lanes run along pixels. `source` is what is pooled, or the gradient in a backward kernel. Sizes with `in`
// belong to the input of the forward pass, those with `out` to its output. The images of `source` and `c` begin
// `sourceBatch` and `cBatch` elements apart.
const WX = 64u;
const BLOCK = 16u;

struct Params {
  batch: u32, channels: u32, inH: i32, inW: i32,
  outH: i32, outW: i32, kernelH: i32, kernelW: i32,
  strideH: i32, strideW: i32, padTop: i32, padLeft: i32,
  padBottom: i32, padRight: i32, sourceBase: u32, auxBase: u32,
  cBase: u32, tau: f32, sourceBatch: u32, cBatch: u32,
//#region params
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> source: array<f32>;
@group(1) @binding(2) var<storage, read_write> c: array<f32>;

// The place of one output value, handed to the epilogue; `index` counts elements of the whole tensor.
struct Place { channel: u32, image: u32, pixel: u32, index: u32 }

// Number of the column of an invocation; the grid is folded where it is longer than an axis may be.
fn columnOf(group: vec3u, local: u32) -> u32 { return (group.z * 65535u + group.x) * WX + local; }
