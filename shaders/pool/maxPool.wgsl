// Max pooling, and for each output the place of the first maximum in its window (row-major, counted in the whole
// window, padding included): a byte, 4 channels to a word.
//#import "elementwise/finite.wgsl"
//#import "pool/params.wgsl"
//#import "pool/fixed.wgsl"

@group(1) @binding(3) var<storage, read_write> aux: array<u32>;
//#region bindings
//#endregion

//#region epilogue
fn finish(value: f32, at: Place) -> f32 { return value; }
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = columnOf(group, local);
  let pixels = u32(p.outH * p.outW);
  if (column >= p.batch * pixels) { return; }
  let image = column / pixels;
  let pixel = column % pixels;
  let firstChannel = group.y * BLOCK;
  let oh = i32(pixel) / p.outW;
  let ow = i32(pixel) % p.outW;
  let rows = windowRows(oh);
  let cols = windowCols(ow);
  let top = windowTop(oh);
  let left = windowLeft(ow);
//#region begin column
//#endregion
  var word = 0u;
  for (var i = 0u; i < BLOCK; i++) {
    let channel = firstChannel + i;
    if (channel < p.channels) {
      let plane = p.sourceBase + image * p.sourceBatch + channel * u32(p.inH * p.inW);
      // NaN counts as larger than everything, as in PyTorch; a diverged network would else look healthy
      var best = source[plane + u32(rows.x * p.inW + cols.x)];
      var place = (rows.x - top) * p.kernelW + cols.x - left;
      for (var h = rows.x; h < rows.y; h++) {
        for (var w = cols.x; w < cols.y; w++) {
          let value = source[plane + u32(h * p.inW + w)];
          if (value > best || isNaN(value)) {
            best = value;
            place = (h - top) * p.kernelW + w - left;
          }
        }
      }
      word |= u32(place) << (8u * (i % 4u));
      if (i % 4u == 3u || channel == p.channels - 1u) {
        aux[p.auxBase + (image * ((p.channels + 3u) / 4u) + channel / 4u) * pixels + pixel] = word;
        word = 0u;
      }
      let index = image * p.cBatch + channel * pixels + pixel;
      c[p.cBase + index] = finish(best, Place(channel, image, pixel, index));
    }
  }
//#region end column
//#endregion
}
