// Input gradient of average pooling over fixed or adaptive windows, as a gather over the windows that cover a pixel.
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
  // a window's area takes divisions of whole numbers, and most pixels lie in one window
  let firstArea = f32(windowArea(rows.x, cols.x));
//#region begin column
//#endregion
  let end = min(firstChannel + BLOCK, p.channels);
  for (var channel = firstChannel; channel < end; channel++) {
    let plane = p.sourceBase + image * p.sourceBatch + channel * outPixels;
    var sum = 0.0;
    for (var oh = rows.x; oh < rows.y; oh++) {
      for (var ow = cols.x; ow < cols.y; ow++) {
        var area = firstArea;
        if (oh > rows.x || ow > cols.x) { area = f32(windowArea(oh, ow)); }
        sum += source[plane + u32(oh * p.outW + ow)] / area;
      }
    }
    let index = image * p.cBatch + channel * pixels + pixel;
    c[p.cBase + index] = finish(sum, Place(channel, image, pixel, index));
  }
//#region end column
//#endregion
}
