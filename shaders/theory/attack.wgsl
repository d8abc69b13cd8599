// Some steps of the attack simulation: one workgroup per repeat, both rules side by side from the same draw.
//   gradient  W^T D V^T V (relu(W x) - relu(W x*)) / divisor,  D = diag(W x > 0) for BP, identity for LinBP
//   step      x <- clip(x - rate * direction(gradient)),  direction: the gradient, gradient / |gradient|_2, or its sign
// Before each step the distance |x - x*|_1 and the loss |h(x) - h(x*)|^2 / 2 go to the curves:
// curves[quantity][rule][repeat][step].
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
@group(0) @binding(5) var<storage, read_write> state: array<vec2f>; // [repeats, d1], kept between dispatches
@group(0) @binding(6) var<storage, read_write> curves: array<f32>; // [2, 2, repeats, steps + 1]

// Both rules' vectors side by side, so that every element of W and V is loaded once: x of BP, y of LinBP.
var<workgroup> x: array<vec2f, MAX_D1>;
var<workgroup> gradient: array<vec2f, MAX_D1>;
var<workgroup> hidden: array<vec2f, MAX_D2>; // relu(W x) - relu(W x*), then D V^T output
var<workgroup> mask: array<vec2f, MAX_D2>;
var<workgroup> output: array<vec2f, MAX_D3>;
var<workgroup> hiddenStar: array<f32, MAX_D2>;

// 0 at 0, so that a zero gradient moves nothing.
fn inverse(norm: vec2f) -> vec2f {
  return select(vec2f(), 1.0 / norm, norm > vec2f());
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let repeat = group.x;
  let wBase = repeat * p.d2 * p.d1;
  let vBase = repeat * p.d3 * p.d2;
  let xBase = repeat * p.d1;
  for (var j = lane; j < p.d1; j += LANES) {
    if (p.first == 0u) {
      x[j] = vec2f(xStart[xBase + j]);
    } else {
      x[j] = state[xBase + j];
    }
  }
  for (var i = lane; i < p.d2; i += LANES) {
    var z = 0.0;
    for (var j = 0u; j < p.d1; j++) { z += w[wBase + i * p.d1 + j] * xStar[xBase + j]; }
    hiddenStar[i] = max(z, 0.0);
  }
  workgroupBarrier();

  for (var t = p.first; t < p.first + p.count; t++) {
    for (var i = lane; i < p.d2; i += LANES) {
      var z = vec2f();
      for (var j = 0u; j < p.d1; j++) { z += w[wBase + i * p.d1 + j] * x[j]; }
      hidden[i] = max(z, vec2f()) - hiddenStar[i];
      mask[i] = vec2f(select(0.0, 1.0, z.x > 0.0), 1.0);
    }
    workgroupBarrier();
    var distance = vec2f();
    var loss = vec2f();
    for (var k = lane; k < p.d3; k += LANES) {
      var sum = vec2f();
      for (var i = 0u; i < p.d2; i++) { sum += v[vBase + k * p.d2 + i] * hidden[i]; }
      output[k] = sum;
      loss += 0.5 * sum * sum;
    }
    for (var j = lane; j < p.d1; j += LANES) { distance += abs(x[j] - xStar[xBase + j]); }
    let sums = treeSum4(lane, vec4f(distance, loss));
    if (lane < 4u) { curves[(lane * p.repeats + repeat) * (p.steps + 1u) + t] = sums[lane]; }
    if (t == p.steps) { break; }

    for (var i = lane; i < p.d2; i += LANES) {
      var sum = vec2f();
      for (var k = 0u; k < p.d3; k++) { sum += v[vBase + k * p.d2 + i] * output[k]; }
      hidden[i] = mask[i] * sum;
    }
    workgroupBarrier();
    var squares = vec2f();
    for (var j = lane; j < p.d1; j += LANES) {
      var sum = vec2f();
      for (var i = 0u; i < p.d2; i++) { sum += w[wBase + i * p.d1 + j] * hidden[i]; }
      sum /= p.divisor;
      gradient[j] = sum;
      squares += sum * sum;
    }
    let scale = inverse(sqrt(treeSum4(lane, vec4f(squares, 0.0, 0.0)).xy));
    for (var j = lane; j < p.d1; j += LANES) {
      var direction = gradient[j];
      if (p.mode == L2) {
        direction *= scale;
      } else if (p.mode != RAW) {
        direction = sign(direction);
      }
      let start = xStart[xBase + j];
      x[j] = min(max(x[j] - p.rate * direction, vec2f(start - p.eps)), vec2f(start + p.eps));
    }
    workgroupBarrier();
  }
  for (var j = lane; j < p.d1; j += LANES) { state[xBase + j] = x[j]; }
}
