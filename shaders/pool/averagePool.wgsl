// Average pooling over fixed or adaptive windows. Padding counts in the divisor, as in PyTorch.
//#import "pool/params.wgsl"
//#region window
//#import "pool/fixed.wgsl"
//#endregion
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
  let divisor = f32(windowArea(oh, ow));
//#region begin column
//#endregion
  let end = min(firstChannel + BLOCK, p.channels);
  for (var channel = firstChannel; channel < end; channel++) {
    let plane = p.sourceBase + image * p.sourceBatch + channel * u32(p.inH * p.inW);
    var sum = 0.0;
    for (var h = rows.x; h < rows.y; h++) {
      for (var w = cols.x; w < cols.y; w++) { sum += source[plane + u32(h * p.inW + w)]; }
    }
    let index = image * p.cBatch + channel * pixels + pixel;
    c[p.cBase + index] = finish(sum / divisor, Place(channel, image, pixel, index));
  }
//#region end column
//#endregion
}
