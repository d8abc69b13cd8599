// Second half of the soft-max backward of max pooling: each input pixel x adds up, over the windows that cover it,
// exp(tau (x - m)) times the quotient that softmaxWindows.wgsl left in `source`. `aux` is the forward pass's input.
//#import "pool/params.wgsl"
//#import "pool/fixed.wgsl"

@group(1) @binding(3) var<storage, read> aux: array<f32>;
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
  let outPixels = u32(p.outH * p.outW);
  let quotients = p.batch * p.channels * outPixels;
  let rows = coverRows(i32(pixel) / p.inW);
  let cols = coverCols(i32(pixel) % p.inW);
//#region begin column
//#endregion
  for (var i = 0u; i < BLOCK; i++) {
    let channel = firstChannel + i;
    if (channel < p.channels) {
      let index = (image * p.channels + channel) * pixels + pixel;
      let windows = p.sourceBase + (image * p.channels + channel) * outPixels;
      let value = aux[p.auxBase + index];
      var sum = 0.0;
      for (var oh = rows.x; oh < rows.y; oh++) {
        for (var ow = cols.x; ow < cols.y; ow++) {
          let window = windows + u32(oh * p.outW + ow);
          sum += source[window + quotients] * exp(p.tau * (value - source[window]));
        }
      }
      c[p.cBase + index] = finish(sum, Place(channel, image, pixel, index));
    }
  }
//#region end column
//#endregion
}
