// Per-sample norms and sums: one workgroup per sample, so a norm does not depend on the batch around it.
// The 2-norm is taken relative to the largest magnitude: gradients of confident samples are so small that their squares
// would vanish in f32.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
const POWER = 2u; // 1, 2, 0 for the largest magnitude, or 3 for the sum

struct Params { batch: u32, sampleSize: u32, xBase: u32, yBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let sample = blockOf(group);
  if (sample >= p.batch) { return; }
  let base = p.xBase + sample * p.sampleSize;

  var largest = 0.0;
  if (POWER == 0u || POWER == 2u) {
    for (var i = lane; i < p.sampleSize; i += LANES) { largest = largerOf(largest, abs(x[base + i])); }
    largest = treeMax(lane, largest);
  }
  var result = largest;
  if (POWER != 0u) {
    let unit = select(1.0, largest, POWER == 2u && largest > 0.0);
    var sum = 0.0;
    for (var i = lane; i < p.sampleSize; i += LANES) {
      let magnitude = select(abs(x[base + i]), x[base + i], POWER == 3u) / unit;
      sum += select(magnitude, magnitude * magnitude, POWER == 2u);
    }
    sum = treeSum(lane, sum);
    result = select(sum, unit * sqrt(sum), POWER == 2u);
  }
  if (lane == 0u) { y[p.yBase + sample] = result; }
}
