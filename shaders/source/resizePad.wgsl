// Input diversity: a share of the samples scaled to a random larger side, put at a random place of a frame of zeros,
// and scaled back, each pixel the nearest; TRANSPOSED sums what such a result's pixels give to each pixel of the
// image. An invocation makes one element. src/random/resizePad.ts draws the same numbers.
//#import "step.wgsl"
//#import "random/philox.wgsl"
//#import "elementwise/grid.wgsl"
const WX = 64u;
const TRANSPOSED = false;
const SEED_PER_STEP = false; // p.seed is a word of the step row, not the seed itself
const STEP_PER_STEP = false; // p.step is a word of the step row, not the step itself

struct Params {
  elements: u32, channels: u32, size: u32, largest: u32, stream: u32, seed: u32, step: u32,
  xBase: u32, idsBase: u32, resultBase: u32,
  probability: f32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> ids: array<u32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

// 24 bits times 255 places fit a word
fn choose(bits: u32, places: u32) -> u32 {
  return ((bits >> 8u) * places) >> 24u;
}

// the row (column) of the image that row (column) `place` of the result shows, -1 for the frame
fn shown(place: u32, offset: u32, side: u32) -> i32 {
  let inFrame = place * p.largest / p.size;
  if (inFrame < offset || inFrame - offset >= side) { return -1; }
  return i32((inFrame - offset) * p.size / side);
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let index = blockOf(group) * WX + local.x;
  if (index >= p.elements) { return; }
  let column = index % p.size;
  let row = index / p.size % p.size;
  let plane = index / (p.size * p.size);
  var seed = p.seed;
  if (SEED_PER_STEP) { seed = stepU32(p.seed); }
  var step = p.step;
  if (STEP_PER_STEP) { step = stepU32(p.step); }
  let bits = philox4x32(vec4u(0u, ids[p.idsBase + plane / p.channels], step, 0u), vec2u(seed, p.stream));
  let side = p.size + choose(bits.y, p.largest - p.size + 1u);
  let free = p.largest - side + 1u;
  let down = choose(bits.z, free);
  let right = choose(bits.w, free);
  let at = p.xBase + plane * p.size * p.size;
  var value = 0.0;
  if (uniform01(bits.x) >= p.probability) {
    value = x[p.xBase + index];
  } else if (TRANSPOSED) {
    for (var h = 0u; h < p.size; h++) {
      if (shown(h, down, side) != i32(row)) { continue; }
      for (var w = 0u; w < p.size; w++) {
        if (shown(w, right, side) == i32(column)) { value += x[at + h * p.size + w]; }
      }
    }
  } else {
    let h = shown(row, down, side);
    let w = shown(column, right, side);
    if (h >= 0 && w >= 0) { value = x[at + u32(h) * p.size + u32(w)]; }
  }
  result[p.resultBase + index] = value;
}
