// Targeted difference of logits ratio (Croce and Hein), to be made small: (z[label] - z[target]) / (z_(1) - (z_(3) +
// z_(4)) / 2).
//#import "loss/ranks.wgsl"
const NEEDS_SUM = false;
const NEEDS_FOURTH = true;

// by differences of ranks, which are exact where they are small
fn range(s: Sample) -> f32 {
  return apart(0.5 * ((s.top.value.x - s.top.value.z) + (s.top.value.x - s.rank4.value)), s.top);
}

fn lossOf(s: Sample) -> f32 { return (s.labelLogit - s.goalLogit) / range(s); }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let numerator = 1.0 / range(s);
  let denominator = (s.labelLogit - s.goalLogit) / range(s) / range(s);
  return select(0.0, numerator, k == s.label) - select(0.0, numerator, k == s.goal)
    - select(0.0, denominator, k == s.top.index.x)
    + 0.5 * select(0.0, denominator, k == s.top.index.z || k == s.rank4.index);
}
