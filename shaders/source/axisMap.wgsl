// One axis of images times a matrix, per sample or the same for all; an invocation makes one element. The order of the
// sum is that of the axis.
//#import "elementwise/grid.wgsl"
const WX = 64u;
const ROWS = true; // along rows, else along columns
const TRANSPOSED = false;

// height and width of the result; `inner` is the length of the axis of x
struct Params {
  elements: u32, channels: u32, height: u32, width: u32, inner: u32, matrixSize: u32, matrixWidth: u32,
  xBase: u32, matrixBase: u32, resultBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> matrix: array<f32>;
@group(1) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.elements) { return; }
  let column = index % p.width;
  let row = index / p.width % p.height;
  let plane = index / (p.width * p.height);
  let matrixAt = p.matrixBase + plane / p.channels * p.matrixSize;
  let place = select(column, row, ROWS);
  let first = p.xBase + select((plane * p.height + row) * p.inner, plane * p.inner * p.width + column, ROWS);
  let pitch = select(1u, p.width, ROWS);
  var sum = 0.0;
  for (var k = 0u; k < p.inner; k++) {
    let entry = select(place * p.matrixWidth + k, k * p.matrixWidth + place, TRANSPOSED);
    sum += matrix[matrixAt + entry] * x[first + k * pitch];
  }
  result[p.resultBase + index] = sum;
}
