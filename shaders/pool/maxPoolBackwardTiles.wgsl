// Input gradient of max pooling with windows side by side (stride = kernel, no padding): one invocation owns one
// window and BLOCK channels, and loads a channel's gradient and place once for all pixels of the window. Windows that
// the forward pass left out at the lower and right edge have no gradient. The epilogue may read masks but not write
// them, which takes all channels of a pixel at once.
//#import "pool/params.wgsl"

@group(1) @binding(3) var<storage, read> aux: array<u32>;
//#region bindings
//#endregion

//#region epilogue
fn finish(value: f32, at: Place) -> f32 { return value; }
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = columnOf(group, local);
  let cellsW = (p.inW + p.kernelW - 1) / p.kernelW;
  let cells = u32((p.inH + p.kernelH - 1) / p.kernelH * cellsW);
  if (column >= p.batch * cells) { return; }
  let image = column / cells;
  let oh = i32(column % cells) / cellsW;
  let ow = i32(column % cells) % cellsW;
  let pooled = oh < p.outH && ow < p.outW;
  let outPixels = u32(p.outH * p.outW);
  let outPixel = select(0u, u32(oh * p.outW + ow), pooled);
  let firstChannel = group.y * BLOCK;

  let end = min(firstChannel + BLOCK, p.channels);
  for (var channel = firstChannel; channel < end; channel++) {
    let word = aux[p.auxBase + (image * ((p.channels + 3u) / 4u) + channel / 4u) * outPixels + outPixel];
    let chosen = (word >> (8u * (channel % 4u))) & 255u;
    let gradient = select(0.0, source[p.sourceBase + image * p.sourceBatch + channel * outPixels + outPixel], pooled);
    let plane = image * p.cBatch + channel * u32(p.inH * p.inW);
    for (var h = 0; h < min(p.kernelH, p.inH - oh * p.kernelH); h++) {
      for (var w = 0; w < min(p.kernelW, p.inW - ow * p.kernelW); w++) {
        let pixel = u32((oh * p.kernelH + h) * p.inW + ow * p.kernelW + w);
        let value = select(0.0, gradient, chosen == u32(h * p.kernelW + w));
//#region begin column
//#endregion
        c[p.cBase + plane + pixel] = finish(value, Place(channel, image, pixel, plane + pixel));
//#region end column
//#endregion
      }
    }
  }
}
