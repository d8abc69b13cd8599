// How far the target's logit is above the label's.
//#import "loss/ranks.wgsl"
const NEEDS_SUM = false;
const NEEDS_FOURTH = false;

fn lossOf(s: Sample) -> f32 { return s.goalLogit - s.labelLogit; }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  return select(0.0, 1.0, k == s.goal) - select(0.0, 1.0, k == s.label);
}
