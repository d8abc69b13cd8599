// Cross entropy of the logits divided by the lead of the first over the second, which counts as a constant.
//#import "loss/ranks.wgsl"
const NEEDS_SUM = true;
const NEEDS_FOURTH = false;

fn lossOf(s: Sample) -> f32 { return log1p(s.sum) + (s.top.value.x - s.labelLogit) / leadOf(s.top); }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let lead = leadOf(s.top);
  let total = s.sum + exp((s.labelLogit - s.top.value.x) / lead);
  return select(exp((logit - s.top.value.x) / lead), -s.sum, k == s.label) / total / lead;
}
