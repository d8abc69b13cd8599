// y [N, C, H, W] from x [N, XC, XH, XW], shifted by `shift` channels. Every strideH-th row and strideW-th column of x, zeros where
// x has no such channel; or with TRANSPOSE the other way round: y's rows and columns between the strides are zero.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const TRANSPOSE = false;

struct Params {
  count: u32, channels: u32, height: u32, width: u32,
  xChannels: u32, xHeight: u32, xWidth: u32, shift: i32,
  strideH: u32, strideW: u32, xBase: u32, yBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let element = blockOf(group) * WX + local.x;
  if (element >= p.count) { return; }
  let column = element % p.width;
  let row = element / p.width % p.height;
  let channel = i32(element / (p.width * p.height) % p.channels) + p.shift;
  let image = element / (p.width * p.height * p.channels);
  var h = row * p.strideH;
  var w = column * p.strideW;
  var found = channel >= 0 && channel < i32(p.xChannels);
  if (TRANSPOSE) {
    found = found && row % p.strideH == 0u && column % p.strideW == 0u;
    h = row / p.strideH;
    w = column / p.strideW;
  }
  var value = 0.0;
  if (found) { value = x[p.xBase + ((image * p.xChannels + u32(channel)) * p.xHeight + h) * p.xWidth + w]; }
  y[p.yBase + element] = value;
}
