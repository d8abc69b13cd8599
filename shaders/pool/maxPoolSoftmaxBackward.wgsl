// Backward of max pooling that spreads a window's gradient over its pixels by softmax weights exp(tau x) (BPA, Wang et al.
// 2023). Padding counts in the sum as zeros, as in the authors' code. A gather: each input pixel looks at the windows that
// cover it. `aux` is the forward pass's input.
//#import "pool/params.wgsl"
//#import "pool/fixed.wgsl"

@group(1) @binding(3) var<storage, read> aux: array<f32>;
//#region bindings
//#endregion

//#region epilogue
fn finish(value: f32, at: Place) -> f32 { return value; }
//#endregion

// Softmax weight of `value` in the window (oh, ow) of the channel that begins at `plane`, relative to the window's maximum.
fn weightIn(plane: u32, oh: i32, ow: i32, value: f32) -> f32 {
  let rows = windowRows(oh);
  let cols = windowCols(ow);
  let padded = f32(windowArea(oh, ow) - (rows.y - rows.x) * (cols.y - cols.x));
  var largest = value;
  for (var h = rows.x; h < rows.y; h++) {
    for (var w = cols.x; w < cols.y; w++) { largest = max(largest, aux[plane + u32(h * p.inW + w)]); }
  }
  var sum = 0.0;
  if (padded > 0.0) {
    largest = max(largest, 0.0);
    sum = padded * exp(-p.tau * largest);
  }
  for (var h = rows.x; h < rows.y; h++) {
    for (var w = cols.x; w < cols.y; w++) { sum += exp(p.tau * (aux[plane + u32(h * p.inW + w)] - largest)); }
  }
  return exp(p.tau * (value - largest)) / sum;
}

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
//#region begin column
//#endregion
  for (var i = 0u; i < BLOCK; i++) {
    let channel = firstChannel + i;
    if (channel < p.channels) {
      let index = (image * p.channels + channel) * pixels + pixel;
      let plane = p.auxBase + index - pixel;
      let gradients = p.sourceBase + (image * p.channels + channel) * outPixels;
      let value = aux[plane + pixel];
      var sum = 0.0;
      for (var oh = rows.x; oh < rows.y; oh++) {
        for (var ow = cols.x; ow < cols.y; ow++) {
          sum += source[gradients + u32(oh * p.outW + ow)] * weightIn(plane, oh, ow, value);
        }
      }
      c[p.cBase + index] = finish(sum, Place(channel, image, pixel, index));
    }
  }
//#region end column
//#endregion
}
