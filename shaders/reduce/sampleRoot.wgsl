// Per sample, where a sum over its pixels that is monotone in t reaches a goal: halves the interval from 0 to `most`
// up to ROUNDS times. One workgroup per sample, so a root does not depend on the batch around it. The regions are
// generated from an ElementwiseFunction.
//#import "elementwise/grid.wgsl"
//#import "reduce/tree.wgsl"
const RISING = true;
const ROUNDS = 64u;

struct Params {
  batch: u32, sampleSize: u32,
//#region params
  in0Base: u32, mostBase: u32, goalBase: u32, nearBase: u32, farBase: u32, nearSumBase: u32, farSumBase: u32,
//#endregion
}

@group(1) @binding(0) var<uniform> p: Params;
//#region bindings
@group(1) @binding(1) var<storage, read> in0: array<f32>;
@group(1) @binding(2) var<storage, read> most: array<f32>;
@group(1) @binding(3) var<storage, read> goal: array<f32>;
@group(1) @binding(4) var<storage, read_write> near: array<f32>;
@group(1) @binding(5) var<storage, read_write> far: array<f32>;
@group(1) @binding(6) var<storage, read_write> nearSum: array<f32>;
@group(1) @binding(7) var<storage, read_write> farSum: array<f32>;
//#endregion

//#region term
fn term(x: f32, t: f32) -> f32 { return min(x, t); }
fn termAt(i: u32, t: f32) -> f32 { return term(in0[p.in0Base + i], t); }
//#endregion

fn sumAt(lane: u32, first: u32, t: f32) -> f32 {
  var sum = 0.0;
  for (var i = lane; i < p.sampleSize; i += LANES) { sum += termAt(first + i, t); }
  return treeSum(lane, sum);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let sample = blockOf(group);
  if (sample >= p.batch) { return; }
  let first = sample * p.sampleSize;
  let wanted = goal[p.goalBase + sample];
  var low = 0.0;
  var high = most[p.mostBase + sample];
  var lowSum = sumAt(lane, first, low);
  var highSum = sumAt(lane, first, high);
  for (var round = 0u; round < ROUNDS; round++) {
    let middle = 0.5 * (low + high);
    let sum = sumAt(lane, first, middle);
    let isNear = select(sum > wanted, sum < wanted, RISING);
    // Where the end that would move is there already, all rounds to come are like this one.
    if (middle == select(high, low, isNear)) { break; }
    low = select(low, middle, isNear);
    lowSum = select(lowSum, sum, isNear);
    high = select(middle, high, isNear);
    highSum = select(sum, highSum, isNear);
  }
  if (lane == 0u) {
    near[p.nearBase + sample] = low;
    far[p.farBase + sample] = high;
    nearSum[p.nearSumBase + sample] = lowSum;
    farSum[p.farSumBase + sample] = highSum;
  }
}
