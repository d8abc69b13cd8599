// Random numbers per sample: an invocation makes one Philox block, which is 4 consecutive elements of a sample.
//#import "step.wgsl"
//#import "random/philox.wgsl"
//#import "elementwise/grid.wgsl"
const WX = 64u;
const NORMAL = false; // standard normal instead of uniform in [0, 1)
const SEED_PER_STEP = false; // p.seed is a word of the step row, not the seed itself
const STEP_PER_STEP = false; // p.step is a word of the step row, not the step itself

struct Params {
  batch: u32, sampleSize: u32, blocks: u32, stream: u32, seed: u32, step: u32, idsBase: u32, resultBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> ids: array<u32>;
@group(1) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let index = blockOf(group) * WX + local.x;
  let sample = index / p.blocks;
  if (sample >= p.batch) { return; }
  let block = index % p.blocks;
  var seed = p.seed;
  if (SEED_PER_STEP) { seed = stepU32(p.seed); }
  var step = p.step;
  if (STEP_PER_STEP) { step = stepU32(p.step); }
  let bits = philox4x32(vec4u(block, ids[p.idsBase + sample], step, 0u), vec2u(seed, p.stream));
  var values: vec4f;
  if (NORMAL) {
    values = vec4f(normalPair(bits.x, bits.y), normalPair(bits.z, bits.w));
  } else {
    values = vec4f(uniform01(bits.x), uniform01(bits.y), uniform01(bits.z), uniform01(bits.w));
  }
  for (var i = 0u; i < 4u; i++) {
    let element = block * 4u + i;
    if (element < p.sampleSize) { result[p.resultBase + sample * p.sampleSize + element] = values[i]; }
  }
}
