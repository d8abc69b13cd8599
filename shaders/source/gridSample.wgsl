// Images read at places of their own, the nearest pixel or bilinear, zeros around; TRANSPOSED gives each pixel what the
// result's pixels that read it hold. Forward an invocation makes one element; transposed it makes one row of a channel
// and goes through all places in order, so sums have a fixed order and need no atomics.
//#import "elementwise/grid.wgsl"
//#import "elementwise/finite.wgsl"
const WX = 64u;
const BILINEAR = false;
const BOUNDED = false; // the grid has four more channels: from row, below row, from column, below column
const TRANSPOSED = false;

// `height`, `width`: of the images that are read; `gridHeight`, `gridWidth`: of the places
struct Params {
  count: u32, channels: u32, height: u32, width: u32, gridHeight: u32, gridWidth: u32,
  xBase: u32, gridBase: u32, resultBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> grid: array<f32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

fn field(sample: u32, channel: u32, place: u32) -> f32 {
  let planes = select(2u, 6u, BOUNDED);
  return grid[p.gridBase + (sample * planes + channel) * p.gridHeight * p.gridWidth + place];
}

// Up to two pixels of an axis and their weights; weight 0 where there is none.
struct Taps { first: i32, weights: vec2f }

fn tapsOf(at: f32, low: f32, high: f32) -> Taps {
  // A place that is no number has no pixel, and is none beside the image either.
  if (!isFinite(at)) { return Taps(0, vec2f(orNaN(0.0, at))); }
  let below = floor(select(at + 0.5, at, BILINEAR));
  let share = select(0.0, at - below, BILINEAR);
  return Taps(i32(clamp(below, -2.0, high)), vec2f(
    select(0.0, 1.0 - share, below >= low && below < high),
    select(0.0, share, below + 1.0 >= low && below + 1.0 < high)));
}

fn rowTaps(sample: u32, place: u32) -> Taps {
  var low = 0.0;
  var high = f32(p.height);
  if (BOUNDED) { low = max(low, field(sample, 2u, place)); high = min(high, field(sample, 3u, place)); }
  return tapsOf(field(sample, 0u, place), low, high);
}

fn columnTaps(sample: u32, place: u32) -> Taps {
  var low = 0.0;
  var high = f32(p.width);
  if (BOUNDED) { low = max(low, field(sample, 4u, place)); high = min(high, field(sample, 5u, place)); }
  return tapsOf(field(sample, 1u, place), low, high);
}

fn pixel(plane: u32, row: i32, column: i32) -> f32 {
  return x[p.xBase + (plane * p.height + u32(row)) * p.width + u32(column)];
}

fn sampled(plane: u32, rows: Taps, columns: Taps) -> f32 {
  var sum = 0.0;
  for (var i = 0; i < 2; i++) {
    for (var j = 0; j < 2; j++) {
      let weight = rows.weights[i] * columns.weights[j];
      if (weight != 0.0 || isNaN(weight)) { sum += weight * pixel(plane, rows.first + i, columns.first + j); }
    }
  }
  return sum;
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.count) { return; }
  if (TRANSPOSED) { spread(index); } else { gather(index); }
}

fn gather(index: u32) {
  let places = p.gridHeight * p.gridWidth;
  let plane = index / places;
  let place = index % places;
  let sample = plane / p.channels;
  result[p.resultBase + index] = sampled(plane, rowTaps(sample, place), columnTaps(sample, place));
}

fn spread(index: u32) {
  let places = p.gridHeight * p.gridWidth;
  let row = i32(index % p.height);
  let plane = index / p.height;
  let sample = plane / p.channels;
  let base = p.resultBase + index * p.width;
  for (var column = 0u; column < p.width; column++) { result[base + column] = 0.0; }
  for (var place = 0u; place < places; place++) {
    let rows = rowTaps(sample, place);
    let which = row - rows.first;
    if (which < 0 || which > 1) { continue; }
    let weight = rows.weights[which];
    if (weight == 0.0 && !isNaN(weight)) { continue; }
    let columns = columnTaps(sample, place);
    let value = weight * x[p.xBase + plane * places + place];
    for (var j = 0; j < 2; j++) {
      if (columns.weights[j] != 0.0 || isNaN(columns.weights[j])) {
        result[base + u32(columns.first + j)] += columns.weights[j] * value;
      }
    }
  }
}
