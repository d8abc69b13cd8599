// Minus the label's logit.
//#import "loss/ranks.wgsl"
const NEEDS_SUM = false;
const NEEDS_FOURTH = false;

fn lossOf(s: Sample) -> f32 { return -s.labelLogit; }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 { return select(0.0, -1.0, k == s.label); }
