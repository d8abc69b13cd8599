// Some steps of the attack simulation: one workgroup per repeat, both rules side by side from the same draw.
//   gradient  W^T D V^T V (relu(W x) - relu(W x*)) / divisor,  D = diag(W x > 0) for BP, identity for LinBP
//   step      x <- clip(x - rate * direction(gradient)),  direction: the gradient, gradient / |gradient|_2, or its sign
// Before each step the distance |x - x*|_1 and the loss |h(x) - h(x*)|^2 / 2 go to the curves: curves[quantity][rule][repeat][step].
//#import "theory/treeSum4.wgsl"
const MAX_D1 = 512u;
const MAX_D2 = 128u;
const MAX_D3 = 128u;
const RAW = 0u;
const L2 = 1u;

struct Params {
  repeats: u32, d1: u32, d2: u32, d3: u32,
  first: u32, count: u32, steps: u32, mode: u32, // rows first .. first + count - 1 of the curves; row 0 starts from x0
  rate: f32, eps: f32, divisor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>; // [repeats, d2, d1]
@group(0) @binding(2) var<storage, read> v: array<f32>; // [repeats, d3, d2]
@group(0) @binding(3) var<storage, read> xStar: array<f32>; // [repeats, d1]
@group(0) @binding(4) var<storage, read> xStart: array<f32>; // [repeats, d1]
@group(0) @binding(5) var<storage, read_write> state: array<f32>; // [repeats, 2, d1], kept between dispatches
@group(0) @binding(6) var<storage, read_write> curves: array<f32>; // [2, 2, repeats, steps + 1]

// Both rules' vectors one after the other.
var<workgroup> x: array<f32, 2u * MAX_D1>;
var<workgroup> gradient: array<f32, 2u * MAX_D1>;
var<workgroup> hidden: array<f32, 2u * MAX_D2>; // relu(W x) - relu(W x*), then D V^T output
var<workgroup> mask: array<f32, 2u * MAX_D2>;
var<workgroup> output: array<f32, 2u * MAX_D3>;
var<workgroup> hiddenStar: array<f32, MAX_D2>;

// 0 at 0, so that a zero gradient moves nothing.
fn inverse(norm: f32) -> f32 {
  return select(0.0, 1.0 / norm, norm > 0.0);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let repeat = group.x;
  let wBase = repeat * p.d2 * p.d1;
  let vBase = repeat * p.d3 * p.d2;
  let xBase = repeat * p.d1;
  for (var n = lane; n < 2u * p.d1; n += LANES) {
    if (p.first == 0u) {
      x[n] = xStart[xBase + n % p.d1];
    } else {
      x[n] = state[2u * xBase + n];
    }
  }
  for (var i = lane; i < p.d2; i += LANES) {
    var z = 0.0;
    for (var j = 0u; j < p.d1; j++) { z += w[wBase + i * p.d1 + j] * xStar[xBase + j]; }
    hiddenStar[i] = max(z, 0.0);
  }
  workgroupBarrier();

  for (var t = p.first; t < p.first + p.count; t++) {
    for (var n = lane; n < 2u * p.d2; n += LANES) {
      let rule = n / p.d2;
      let i = n % p.d2;
      var z = 0.0;
      for (var j = 0u; j < p.d1; j++) { z += w[wBase + i * p.d1 + j] * x[rule * p.d1 + j]; }
      hidden[n] = max(z, 0.0) - hiddenStar[i];
      mask[n] = select(0.0, 1.0, rule == 1u || z > 0.0);
    }
    workgroupBarrier();
    var sums = vec4f(); // distance of BP, of LinBP, loss of BP, of LinBP
    for (var n = lane; n < 2u * p.d3; n += LANES) {
      let rule = n / p.d3;
      let k = n % p.d3;
      var sum = 0.0;
      for (var i = 0u; i < p.d2; i++) { sum += v[vBase + k * p.d2 + i] * hidden[rule * p.d2 + i]; }
      output[n] = sum;
      sums[2u + rule] += 0.5 * sum * sum;
    }
    for (var n = lane; n < 2u * p.d1; n += LANES) { sums[n / p.d1] += abs(x[n] - xStar[xBase + n % p.d1]); }
    sums = treeSum4(lane, sums);
    if (lane < 4u) { curves[(lane * p.repeats + repeat) * (p.steps + 1u) + t] = sums[lane]; }
    if (t == p.steps) { break; }

    for (var n = lane; n < 2u * p.d2; n += LANES) {
      let rule = n / p.d2;
      var sum = 0.0;
      for (var k = 0u; k < p.d3; k++) { sum += v[vBase + k * p.d2 + n % p.d2] * output[rule * p.d3 + k]; }
      hidden[n] = mask[n] * sum;
    }
    workgroupBarrier();
    var squares = vec4f();
    for (var n = lane; n < 2u * p.d1; n += LANES) {
      let rule = n / p.d1;
      var sum = 0.0;
      for (var i = 0u; i < p.d2; i++) { sum += w[wBase + i * p.d1 + n % p.d1] * hidden[rule * p.d2 + i]; }
      sum /= p.divisor;
      gradient[n] = sum;
      squares[rule] += sum * sum;
    }
    squares = treeSum4(lane, squares);
    for (var n = lane; n < 2u * p.d1; n += LANES) {
      var direction = gradient[n];
      if (p.mode == L2) {
        direction *= inverse(sqrt(squares[n / p.d1]));
      } else if (p.mode != RAW) {
        direction = sign(direction);
      }
      let start = xStart[xBase + n % p.d1];
      x[n] = min(max(x[n] - p.rate * direction, start - p.eps), start + p.eps);
    }
    workgroupBarrier();
  }
  for (var n = lane; n < 2u * p.d1; n += LANES) { state[2u * xBase + n] = x[n]; }
}
