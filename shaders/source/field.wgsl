// What the kernels of fields share: an invocation makes one element [sample, plane, row, column] from its sample's
// numbers.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const NUMBERS = 1u; // of each sample

struct Params {
  count: u32, planes: u32, height: u32, width: u32,
  numbersBase: u32, resultBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> numbers: array<f32>;
@group(1) @binding(2) var<storage, read_write> result: array<f32>;

struct Place { sample: u32, plane: u32, row: u32, column: u32 }

fn placeOf(index: u32) -> Place {
  let plane = index / (p.height * p.width);
  return Place(plane / p.planes, plane % p.planes, index / p.width % p.height, index % p.width);
}

fn number(sample: u32, k: u32) -> f32 { return numbers[p.numbersBase + sample * NUMBERS + k]; }

// One of `count` choices, from a number of [0, 1).
fn choice(sample: u32, k: u32, count: f32) -> f32 { return min(floor(number(sample, k) * count), count - 1.0); }
