// Data augmentation: each sample inside a frame of zeros, cut to its size again at a random place, and mirrored left
// to right in half of the cases. An invocation makes 4 consecutive elements of a sample. src/random/cropFlip.ts draws
// the same numbers.
//#import "step.wgsl"
//#import "random/philox.wgsl"
//#import "elementwise/grid.wgsl"
const WX = 64u;
const FLIP = true;
const SEED_PER_STEP = false; // p.seed is a word of the step row, not the seed itself
const STEP_PER_STEP = false; // p.step is a word of the step row, not the step itself

struct Params {
  batch: u32, height: u32, width: u32, sampleSize: u32, blocks: u32, padding: u32, stream: u32, seed: u32, step: u32,
  xBase: u32, idsBase: u32, resultBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> ids: array<u32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

// -padding to padding; 24 bits times 255 fit a word
fn place(bits: u32) -> i32 {
  return i32(((bits >> 8u) * (2u * p.padding + 1u)) >> 24u) - i32(p.padding);
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let index = blockOf(group) * WX + local.x;
  let sample = index / p.blocks;
  if (sample >= p.batch) { return; }
  var seed = p.seed;
  if (SEED_PER_STEP) { seed = stepU32(p.seed); }
  var step = p.step;
  if (STEP_PER_STEP) { step = stepU32(p.step); }
  let bits = philox4x32(vec4u(0u, ids[p.idsBase + sample], step, 0u), vec2u(seed, p.stream));
  let down = place(bits.x);
  let right = place(bits.y);
  let mirrored = FLIP && (bits.z >> 31u) == 1u;
  for (var i = 0u; i < 4u; i++) {
    let element = (index % p.blocks) * 4u + i;
    if (element >= p.sampleSize) { return; }
    let column = element % p.width;
    let row = element / p.width % p.height;
    let h = i32(row) + down;
    let w = i32(select(column, p.width - 1u - column, mirrored)) + right;
    let at = sample * p.sampleSize;
    var value = 0.0;
    if (h >= 0 && h < i32(p.height) && w >= 0 && w < i32(p.width)) {
      value = x[p.xBase + at + (element / (p.width * p.height) * p.height + u32(h)) * p.width + u32(w)];
    }
    result[p.resultBase + at + element] = value;
  }
}
