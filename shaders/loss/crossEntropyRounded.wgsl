// Cross entropy whose gradient is the rounded probability minus the one-hot label, as frameworks compute it in f32: 0 at the label of
// every sample that is confident enough. For comparison with published figures only.
//#import "loss/ranks.wgsl"
const NEEDS_SUM = true;

fn lossOf(s: Sample) -> f32 { return log1p(s.sum) + (s.top.value.x - s.labelLogit); }

fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let total = s.sum + exp(s.labelLogit - s.top.value.x);
  let logTotal = select(log(total), log1p(s.sum), s.labelLogit == s.top.value.x);
  return exp((logit - s.top.value.x) - logTotal) - select(0.0, 1.0, k == s.label);
}
