// Adds the partial sums of a split weight gradient in order: result[row, col] = sum over splits of partial[split,
// row, col]. Column `columns` of a row, where present, is the bias gradient.
const WX = 64u;

struct Params { rows: u32, columns: u32, bias: u32, splits: u32, cBase: u32, biasBase: u32, stride: u32, width: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> partial: array<f32>;
@group(1) @binding(2) var<storage, read_write> c: array<f32>;
//#region bindings
@group(1) @binding(3) var<storage, read_write> biasGradient: array<f32>;
//#endregion

@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) global: vec3u) {
  let index = global.x + global.y * p.stride;
  if (index >= p.rows * p.width) { return; }
  var sum = 0.0;
  var at = index;
  for (var split = 0u; split < p.splits; split++) {
    sum += partial[at];
    at += p.rows * p.width;
  }
  let row = index / p.width;
  let column = index % p.width;
//#region store
  if (column == p.columns) {
    biasGradient[p.biasBase + row] = sum;
  } else {
    c[p.cBase + row * p.columns + column] = sum;
  }
//#endregion
}
