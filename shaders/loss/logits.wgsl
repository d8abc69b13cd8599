// Reading a batch of logits by LANES invocations a sample; shared by the loss, its gradient and the count of correct
// samples. Samples past the end repeat the last one, so that all invocations reach the barriers; nothing of them is
// stored.
//#import "elementwise/grid.wgsl"
//#import "loss/ranks.wgsl"
//#region lanes
//#import "loss/thread.wgsl"
//#endregion
const WX = 64u;

struct Params {
  batch: u32, classes: u32, scale: f32, logitsBase: u32, labelsBase: u32, resultBase: u32, targetsBase: u32,
}

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> logits: array<f32>;
@group(1) @binding(2) var<storage, read> labels: array<u32>;

// The sample of an invocation and its lane within the sample.
struct Seat { sample: u32, lane: u32, stored: bool }

fn seatOf(group: vec3u, local: u32) -> Seat {
  let sample = blockOf(group) * (WX / LANES) + local / LANES;
  return Seat(min(sample, p.batch - 1u), local % LANES, sample < p.batch);
}

fn logitOf(seat: Seat, k: u32) -> f32 { return logits[p.logitsBase + seat.sample * p.classes + k]; }

fn rankSample(seat: Seat) -> Top {
  var top = emptyTop();
  for (var k = seat.lane; k < p.classes; k += LANES) { top = insert(top, logitOf(seat, k), k); }
  return combineTop(seat.lane, top);
}

// The largest logit of the classes that are not among the three of `top`. Every lane looks at all of them: another
// tree of barriers takes drivers long to compile.
fn fourthOf(seat: Seat, top: Top) -> Ranked {
  var fourth = Ranked(-0x1.fffffep+127, NO_INDEX);
  for (var k = 0u; k < p.classes; k++) {
    let logit = logitOf(seat, k);
    if (all(top.index != vec3u(k)) && before(logit, k, fourth.value, fourth.index)) { fourth = Ranked(logit, k); }
  }
  return fourth;
}

const OVER_LEAD = false; // logits count divided by the lead of the first over the second

// Sum of exp(z - largest) over the classes other than `skip`.
fn sumSample(seat: Seat, top: Top, skip: u32) -> f32 {
  let unit = select(1.0, leadOf(top), OVER_LEAD);
  var sum = 0.0;
  for (var k = seat.lane; k < p.classes; k += LANES) {
    if (k != skip) { sum += exp((logitOf(seat, k) - top.value.x) / unit); }
  }
  return combineSum(seat.lane, sum);
}
