// Difference of logits ratio (Croce and Hein): -(z[label] - largest other logit) / (z_(1) - z_(3)).
//#import "loss/ranks.wgsl"
const NEEDS_SUM = false;
const NEEDS_FOURTH = false;

fn range(s: Sample) -> f32 { return apart(s.top.value.x - s.top.value.z, s.top); }

fn lossOf(s: Sample) -> f32 { return (rival(s) - s.labelLogit) / range(s); }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let numerator = 1.0 / range(s);
  let denominator = (s.labelLogit - rival(s)) / range(s) / range(s);
  if (k == s.label) {
    let others = numerator
      + select(denominator, 0.0, s.top.index.x == k) - select(denominator, 0.0, s.top.index.z == k);
    return -others;
  }
  return select(0.0, numerator, k == rivalIndex(s)) + select(0.0, denominator, k == s.top.index.x)
    - select(0.0, denominator, k == s.top.index.z);
}
