// Margin (Carlini and Wagner): largest other logit - z[label].
//#import "loss/ranks.wgsl"
const NEEDS_SUM = false;
const NEEDS_FOURTH = false;

fn lossOf(s: Sample) -> f32 { return rival(s) - s.labelLogit; }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  return select(select(0.0, 1.0, k == rivalIndex(s)), -1.0, k == s.label);
}
