// Input diversity: a share of the samples scaled to a random larger size, put at a random place of a frame of zeros,
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
  elements: u32, channels: u32, height: u32, width: u32, frameHeight: u32, frameWidth: u32, stream: u32, seed: u32,
  step: u32,
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

// An axis of the image and of the frame, how large the image is there, and where it begins.
struct Axis { size: u32, frame: u32, side: u32, offset: u32 }

// the row (column) of the image that row (column) `place` of the result shows, -1 for the frame
fn shown(place: u32, axis: Axis) -> i32 {
  let inFrame = place * axis.frame / axis.size;
  if (inFrame < axis.offset || inFrame - axis.offset >= axis.side) { return -1; }
  return i32((inFrame - axis.offset) * axis.size / axis.side);
}

fn axisOf(size: u32, frame: u32, scale: u32, place: u32) -> Axis {
  let side = size + choose(scale, frame - size + 1u);
  return Axis(size, frame, side, choose(place, frame - side + 1u));
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let index = blockOf(group) * WX + local.x;
  if (index >= p.elements) { return; }
  let column = index % p.width;
  let row = index / p.width % p.height;
  let plane = index / (p.height * p.width);
  var seed = p.seed;
  if (SEED_PER_STEP) { seed = stepU32(p.seed); }
  var step = p.step;
  if (STEP_PER_STEP) { step = stepU32(p.step); }
  let bits = philox4x32(vec4u(0u, ids[p.idsBase + plane / p.channels], step, 0u), vec2u(seed, p.stream));
  let rows = axisOf(p.height, p.frameHeight, bits.y, bits.z);
  let columns = axisOf(p.width, p.frameWidth, bits.y, bits.w);
  let at = p.xBase + plane * p.height * p.width;
  var value = 0.0;
  if (uniform01(bits.x) >= p.probability) {
    value = x[p.xBase + index];
  } else if (TRANSPOSED) {
    for (var h = 0u; h < p.height; h++) {
      if (shown(h, rows) != i32(row)) { continue; }
      for (var w = 0u; w < p.width; w++) {
        if (shown(w, columns) == i32(column)) { value += x[at + h * p.width + w]; }
      }
    }
  } else {
    let h = shown(row, rows);
    let w = shown(column, columns);
    if (h >= 0 && w >= 0) { value = x[at + u32(h) * p.width + u32(w)]; }
  }
  result[p.resultBase + index] = value;
}
