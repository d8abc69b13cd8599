// Pointwise operations that could not be fused into a producer. One invocation owns ABREAST pixels of one image and
// BLOCK consecutive channels, so that activation masks are written whole words at a time. An axis of the grid that
// would be too long goes on in z: `foldX` or `foldY` is its length, the other one is 0. Images begin `aBatch` and
// `cBatch` elements apart.
const BLOCK = 16u;
const WX = 64u;

struct Params {
  channels: u32, pixels: u32, batch: u32, aBase: u32, aBatch: u32, cBase: u32, cBatch: u32, foldX: u32, foldY: u32,
//#region params
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> a: array<Values>;
@group(1) @binding(2) var<storage, read_write> c: array<Values>;
//#region bindings
//#endregion

struct Place { channel: u32, image: u32, pixel: u32, index: u32 }

//#region epilogue
alias Values = f32;
alias MaskWords = u32;
const ABREAST = 1u;
fn valuesOf(numbers: vec4f) -> Values { return numbers.x; }
fn finish(value: Values, at: Place) -> Values { return value; }
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let column = (group.x + group.z * p.foldX) * WX + local.x;
  let columns = p.pixels / ABREAST;
  if (column >= p.batch * columns) { return; }
  let image = column / columns;
  let pixel = column % columns * ABREAST;
  let firstChannel = (group.y + group.z * p.foldY) * BLOCK;
//#region begin column
//#endregion
  let end = min(firstChannel + BLOCK, p.channels);
  for (var channel = firstChannel; channel < end; channel++) {
    let place = channel * p.pixels + pixel;
    let index = image * p.cBatch + place;
    let value = a[(p.aBase + image * p.aBatch + place) / ABREAST];
    c[(p.cBase + index) / ABREAST] = finish(value, Place(channel, image, pixel, index));
  }
//#region end column
//#endregion
}
