// Stores what one invocation has of a column of a staged product, through the epilogue.
//#import "gemm/convProblem.wgsl"
//#import "gemm/tileRows.wgsl"
//#import "gemm/finish.wgsl"

@group(1) @binding(3) var<storage, read_write> c: array<f32>;

// The RM values belong to the channels from firstChannel on, of which only `count` exist.
fn storeColumn(values: array<f32, RM>, image: u32, pixel: u32, firstChannel: u32, count: u32) {
  var line = values;
//#region begin column
//#endregion
  // As in takeColumn.
  for (var i = 0u; i < select(p.tileRows, RM, UNROLLED); i++) {
    var value = line[0];
    if (UNROLLED) {
      value = line[i];
    } else {
      for (var t = 0u; t + 1u < RM; t++) { line[t] = line[t + 1u]; }
    }
    if (i < count) {
      let channel = firstChannel + i;
      let index = image * p.cBatch + channel * p.cRow + pixel * p.cW;
      c[p.cBase + index] = finish(value, Place(channel, image, pixel, index, 0u));
    }
  }
//#region end column
//#endregion
}
