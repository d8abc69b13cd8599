// Shared by the reductions along axes: results walk the kept axes, each adds up the elements along the reduced ones.
// Axes count from the last (0); neighbors of one kind are joined.
struct Params {
  results: u32, elements: u32, scale: f32, xBase: u32, yBase: u32, chosenBase: u32,
  kept0: u32, kept1: u32, kept2: u32, keptStride0: u32, keptStride1: u32, keptStride2: u32,
  size0: u32, size1: u32, size2: u32, stride0: u32, stride1: u32, stride2: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read_write> y: array<f32>;

// Where the elements of a result begin.
fn beginOf(result: u32) -> u32 {
  let rest = result / p.kept0;
  return p.xBase + result % p.kept0 * p.keptStride0 + rest % p.kept1 * p.keptStride1 + rest / p.kept1 * p.keptStride2;
}

// The place of element `i` behind its result's first.
fn placeOf(i: u32) -> u32 {
  let rest = i / p.size0;
  return i % p.size0 * p.stride0 + rest % p.size1 * p.stride1 + rest / p.size1 * p.stride2;
}
