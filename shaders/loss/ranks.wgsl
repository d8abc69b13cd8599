// The three largest logits of a sample, largest first; among equals the lower class comes first. `broken` is 1 where
// some logit is infinite or NaN: comparisons pass over NaN, so the ranks alone would not show it.
//#import "elementwise/finite.wgsl"
struct Top { value: vec3f, index: vec3u, broken: u32 }
const NO_INDEX = 0xffffffffu;
fn emptyTop() -> Top { return Top(vec3f(-0x1.fffffep+127), vec3u(NO_INDEX), 0u); }

fn before(v: f32, k: u32, w: f32, other: u32) -> bool { return v > w || (v == w && k < other); }

fn insert(top: Top, v: f32, k: u32) -> Top {
  let broken = top.broken | select(1u, 0u, isFinite(v));
  if (before(v, k, top.value.x, top.index.x)) {
    return Top(vec3f(v, top.value.xy), vec3u(k, top.index.xy), broken);
  }
  if (before(v, k, top.value.y, top.index.y)) {
    return Top(vec3f(top.value.x, v, top.value.y), vec3u(top.index.x, k, top.index.y), broken);
  }
  if (before(v, k, top.value.z, top.index.z)) {
    return Top(vec3f(top.value.xy, v), vec3u(top.index.xy, k), broken);
  }
  return Top(top.value, top.index, broken);
}

// Order-independent, because (value, class) is a total order.
fn merge(top: Top, other: Top) -> Top {
  var result = top;
  result.broken |= other.broken;
  for (var i = 0u; i < 3u; i++) { result = insert(result, other.value[i], other.index[i]); }
  return result;
}

// What a loss may use: the ranks, the label and its logit, and (with NEEDS_SUM) the sum of exp(z - largest) over the
// other classes: other than the largest for the loss, other than the label for its gradient; the target and its logit;
// and (with NEEDS_FOURTH) the fourth largest logit.
struct Sample { top: Top, label: u32, labelLogit: f32, sum: f32, goal: u32, goalLogit: f32, rank4: Ranked }
struct Ranked { value: f32, index: u32 }

// A difference of ranks to divide by. Differing numbers are at least 2^-25 of the larger apart, so that only ties are
// raised, by the scale of the logits; logits that are all 0 have none, and 1 is as good as any.
fn apart(gap: f32, top: Top) -> f32 {
  let kept = max(gap, 0x1p-26 * abs(top.value.x));
  return select(kept, 1.0, kept == 0.0);
}

// Lead of the largest logit over the second, kept away from zero.
fn leadOf(top: Top) -> f32 { return apart(top.value.x - top.value.y, top); }

// A figure of a sample, or NaN where a logit of it is not finite.
fn orBroken(value: f32, top: Top) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(value), 0x7fc00000u | top.broken, top.broken != 0u));
}

// Largest logit of a class other than the label.
fn rival(s: Sample) -> f32 { return select(s.top.value.x, s.top.value.y, s.top.index.x == s.label); }
fn rivalIndex(s: Sample) -> u32 { return select(s.top.index.x, s.top.index.y, s.top.index.x == s.label); }

// ln(1 + s) to full relative accuracy for s >= 0: log() may be off by 2^-21, which near 1 is larger than its result.
fn log1p(s: f32) -> f32 {
  if (s >= 0.5) { return log(1.0 + s); }
  let t = s / (2.0 + s);
  let q = t * t;
  return 2.0 * t * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0))))));
}
