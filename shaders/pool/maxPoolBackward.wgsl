// Input gradient of max pooling as a gather: each input pixel takes the gradients of those windows that cover it and
// whose recorded maximum it is, in row-major order of the windows.
//#import "pool/params.wgsl"
//#import "pool/fixed.wgsl"

@group(1) @binding(3) var<storage, read> aux: array<u32>;
//#region bindings
//#endregion

//#region epilogue
fn finish(value: f32, at: Place) -> f32 { return value; }
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = columnOf(group, local);
  let pixels = u32(p.inH * p.inW);
  if (column >= p.batch * pixels) { return; }
  let image = column / pixels;
  let pixel = column % pixels;
  let firstChannel = group.y * BLOCK;
  let h = i32(pixel) / p.inW;
  let w = i32(pixel) % p.inW;
  let outPixels = u32(p.outH * p.outW);
  let rows = coverRows(h);
  let cols = coverCols(w);

  var sums: array<f32, BLOCK>;
  for (var oh = rows.x; oh < rows.y; oh++) {
    for (var ow = cols.x; ow < cols.y; ow++) {
      let place = u32((h - windowTop(oh)) * p.kernelW + w - windowLeft(ow));
      let outPixel = u32(oh * p.outW + ow);
      for (var i = 0u; i < BLOCK; i += 4u) {
        if (firstChannel + i >= p.channels) { break; }
        let word = aux[p.auxBase + (image * ((p.channels + 3u) / 4u) + (firstChannel + i) / 4u) * outPixels + outPixel];
        for (var j = 0u; j < 4u; j++) {
          let channel = firstChannel + i + j;
          if (channel < p.channels && ((word >> (8u * j)) & 255u) == place) {
            sums[i + j] += source[p.sourceBase + image * p.sourceBatch + channel * outPixels + outPixel];
          }
        }
      }
    }
  }
//#region begin column
//#endregion
  // the next sum comes to the front, so that no register is addressed by a variable
  let end = min(firstChannel + BLOCK, p.channels);
  for (var channel = firstChannel; channel < end; channel++) {
    let value = sums[0];
    for (var i = 0u; i + 1u < BLOCK; i++) { sums[i] = sums[i + 1u]; }
    let index = image * p.cBatch + channel * pixels + pixel;
    c[p.cBase + index] = finish(value, Place(channel, image, pixel, index));
  }
//#region end column
//#endregion
}
