// Adds the parts of a product whose contraction was split, in order, and applies what follows it. One invocation owns
// one pixel of one image and BLOCK consecutive channels, so that activation masks are written whole words at a time.
//#import "gemm/finish.wgsl"
const BLOCK = 16u;
const WX = 64u;

struct Params {
  channels: u32, pixels: u32, batch: u32, parts: u32,
  elements: u32, cBase: u32, cBatch: u32, cRow: u32,
  cW: u32, partBatch: u32,
//#region params
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> partial: array<f32>;
@group(1) @binding(2) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) global: vec3u) {
  let column = global.x;
  if (column >= p.batch * p.pixels) { return; }
  let image = column / p.pixels;
  let pixel = column % p.pixels;
  let firstChannel = global.y * BLOCK;
//#region begin column
//#endregion
  let end = min(firstChannel + BLOCK, p.channels);
  for (var channel = firstChannel; channel < end; channel++) {
    let index = image * p.cBatch + channel * p.cRow + pixel * p.cW;
    var sum = 0.0;
    var at = image * p.partBatch + channel * p.cRow + pixel * p.cW;
    for (var part = 0u; part < p.parts; part++) {
      sum += partial[at];
      at += p.elements;
    }
    c[p.cBase + index] = finish(sum, Place(channel, image, pixel, index, 0u));
  }
//#region end column
//#endregion
}
