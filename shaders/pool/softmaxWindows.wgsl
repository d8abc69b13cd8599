// First half of the soft-max backward of max pooling (BPA, Wang et al. 2023): each window's largest value m and its
// gradient over the sum of exp(tau (x - m)). Padding counts as zeros, as in the authors' code. `aux` is the forward
// pass's input; `c` holds two planes a window, all m and then all quotients.
//#import "pool/params.wgsl"
//#import "pool/fixed.wgsl"

@group(1) @binding(3) var<storage, read> aux: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = columnOf(group, local);
  let pixels = u32(p.outH * p.outW);
  if (column >= p.batch * pixels) { return; }
  let image = column / pixels;
  let pixel = column % pixels;
  let oh = i32(pixel) / p.outW;
  let ow = i32(pixel) % p.outW;
  let rows = windowRows(oh);
  let cols = windowCols(ow);
  let padded = f32(windowArea(oh, ow) - (rows.y - rows.x) * (cols.y - cols.x));
  for (var i = 0u; i < BLOCK; i++) {
    let channel = group.y * BLOCK + i;
    if (channel < p.channels) {
      let plane = p.auxBase + (image * p.channels + channel) * u32(p.inH * p.inW);
      var largest = aux[plane + u32(rows.x * p.inW + cols.x)];
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
      let index = (image * p.channels + channel) * pixels + pixel;
      c[p.cBase + index] = largest;
      c[p.cBase + p.batch * p.channels * pixels + index] = source[p.sourceBase + index] / sum;
    }
  }
}
