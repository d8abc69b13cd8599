// y [N, C, H, W] from x [N, XC, XH, XW], shifted by `shift` channels. Every strideH-th row and strideW-th column of
// x, zeros where x has no such channel; or with TRANSPOSE the other way round: y's rows and columns between the
// strides are zero. An invocation writes a run of neighboring columns, at once where rows begin at multiples of four:
// dividing costs more than copying on a CPU.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const RUN = 4u; // columns of an invocation
const TRANSPOSE = false;

struct Params {
  runs: u32, runsPerRow: u32, channels: u32, height: u32, width: u32,
  xChannels: u32, xHeight: u32, xWidth: u32, shift: i32,
  strideH: u32, strideW: u32, xBase: u32, yBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
//#region store
@group(1) @binding(2) var<storage, read_write> y: array<f32>;
fn store(first: u32, values: array<f32, RUN>) {
  var rest = values;
  for (var i = 0u; i < min(RUN, p.width - first % p.width); i++) { y[p.yBase + first + i] = rest[i]; }
}
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let run = blockOf(group) * WX + local.x;
  if (run >= p.runs) { return; }
  let line = run / p.runsPerRow;
  let first = (run - line * p.runsPerRow) * RUN;
  let plane = line / p.height;
  let row = line - plane * p.height;
  let image = plane / p.channels;
  let channel = i32(plane - image * p.channels) + p.shift;
  var found = channel >= 0 && channel < i32(p.xChannels);
  var h = row * p.strideH;
  var w = first * p.strideW;
  var phase = 0u; // of a column between two of x
  if (TRANSPOSE) {
    h = row / p.strideH;
    w = first / p.strideW;
    phase = first - w * p.strideW;
    found = found && row == h * p.strideH;
  }
  let source = p.xBase + ((image * p.xChannels + u32(max(channel, 0))) * p.xHeight + h) * p.xWidth;
  var values: array<f32, RUN>;
  for (var i = 0u; i < RUN; i++) {
    if (found && phase == 0u && first + i < p.width) { values[i] = x[source + w]; }
    if (TRANSPOSE) {
      phase++;
      w += select(0u, 1u, phase == p.strideW);
      phase = select(phase, 0u, phase == p.strideW);
    } else {
      w += p.strideW;
    }
  }
  store(line * p.width + first, values);
}
