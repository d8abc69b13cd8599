// Some steps of the training simulation: one workgroup per repeat, both rules side by side on the same fresh rows X
// of each step.
//   gradient  X^T D (relu(X w) - relu(X w*)) / N,  D = diag(X w > 0) for BP, identity for LinBP;    step  w <- w -
//   rate * gradient
// Before each step the distance |w - w*|_1 and the loss |relu(X w) - relu(X w*)|^2 / (2 N) go to the curves:
// curves[quantity][rule][repeat][step]. Step t draws its rows as the Philox sample `repeat` at step t + 1, element
// row * d + column, and takes them in tiles of p.tileRows rows.
//#import "random/philox.wgsl"
//#import "theory/treeSum4.wgsl"
const MAX_D = 256u;
const TILE = 1536u; // numbers of a tile of X
const TILE_ROWS = 256u;

struct Params {
  repeats: u32, d: u32, rows: u32, tileRows: u32, // tileRows * d is a multiple of 4 and at most TILE
  // rows first .. first + count - 1 of the curves; row 0 starts from wStart
  first: u32, count: u32, steps: u32, seed: u32, stream: u32,
  rate: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> wStar: array<f32>; // [repeats, d]
@group(0) @binding(2) var<storage, read> wStart: array<f32>; // [repeats, d]
@group(0) @binding(3) var<storage, read_write> state: array<f32>; // [repeats, 2, d], kept between dispatches
@group(0) @binding(4) var<storage, read_write> curves: array<f32>; // [2, 2, repeats, steps + 1]

var<workgroup> x: array<f32, TILE>; // [tileRows, d]
var<workgroup> weights: array<f32, 2u * MAX_D>; // both rules' one after the other
var<workgroup> teacher: array<f32, MAX_D>;
var<workgroup> gradient: array<f32, 2u * MAX_D>;
var<workgroup> error: array<f32, 2u * TILE_ROWS>; // D (relu(X w) - relu(X w*))

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let repeat = group.x;
  let base = repeat * p.d;
  for (var n = lane; n < 2u * p.d; n += LANES) {
    if (p.first == 0u) {
      weights[n] = wStart[base + n % p.d];
    } else {
      weights[n] = state[2u * base + n];
    }
  }
  for (var j = lane; j < p.d; j += LANES) { teacher[j] = wStar[base + j]; }
  workgroupBarrier();

  for (var t = p.first; t < p.first + p.count; t++) {
    var sums = vec4f(); // distance of BP, of LinBP, loss of BP, of LinBP
    for (var n = lane; n < 2u * p.d; n += LANES) {
      gradient[n] = 0.0;
      sums[n / p.d] += abs(weights[n] - teacher[n % p.d]);
    }
    for (var tile = 0u; tile < p.rows; tile += p.tileRows) {
      let rows = min(p.tileRows, p.rows - tile);
      let blocks = (rows * p.d + 3u) / 4u;
      for (var block = lane; block < blocks; block += LANES) {
        let bits = philox4x32(vec4u(tile * p.d / 4u + block, repeat, t + 1u, 0u), vec2u(p.seed, p.stream));
        let values = vec4f(normalPair(bits.x, bits.y), normalPair(bits.z, bits.w));
        for (var k = 0u; k < 4u; k++) { x[4u * block + k] = values[k]; }
      }
      workgroupBarrier();
      for (var row = lane; row < rows; row += LANES) {
        var z = vec3f(); // of BP, LinBP, teacher
        for (var j = 0u; j < p.d; j++) { z += x[row * p.d + j] * vec3f(weights[j], weights[p.d + j], teacher[j]); }
        let difference = max(z.xy, vec2f()) - max(z.z, 0.0);
        sums += vec4f(0.0, 0.0, 0.5 * difference * difference / f32(p.rows));
        error[row] = select(0.0, difference.x, z.x > 0.0);
        error[TILE_ROWS + row] = difference.y;
      }
      workgroupBarrier();
      for (var n = lane; n < 2u * p.d; n += LANES) {
        let rule = n / p.d;
        var sum = 0.0;
        for (var row = 0u; row < rows; row++) { sum += x[row * p.d + n % p.d] * error[rule * TILE_ROWS + row]; }
        gradient[n] += sum;
      }
      workgroupBarrier();
    }
    sums = treeSum4(lane, sums);
    if (lane < 4u) { curves[(lane * p.repeats + repeat) * (p.steps + 1u) + t] = sums[lane]; }
    if (t == p.steps) { break; }
    for (var n = lane; n < 2u * p.d; n += LANES) { weights[n] -= p.rate * gradient[n] / f32(p.rows); }
    workgroupBarrier();
  }
  for (var n = lane; n < 2u * p.d; n += LANES) { state[2u * base + n] = weights[n]; }
}
