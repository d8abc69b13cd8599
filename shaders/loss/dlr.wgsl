// Difference of logits ratio (Croce and Hein): -(z[label] - largest other logit) / (z_(1) - z_(3)).
//#import "loss/ranks.wgsl"
const NEEDS_SUM = false;
const NEEDS_FOURTH = false;

fn range(s: Sample) -> f32 { return apart(s.top.value.x - s.top.value.z, s.top); }

fn lossOf(s: Sample) -> f32 { return (rival(s) - s.labelLogit) / range(s); }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  // With the label in third place the ratio is 1, and its terms cancel. The reference code adds 1e-12 to the divisor,
  // which leaves this of the first and the label: the direction to go on in, and in L2 the length of APGD's short step.
  if (s.top.index.z == s.label && s.top.value.x > s.top.value.z) {
    let left = 1e-12 / range(s) / range(s);
    return select(select(0.0, -left, k == s.label), left, k == s.top.index.x);
  }
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
