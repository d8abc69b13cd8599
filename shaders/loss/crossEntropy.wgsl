// Cross entropy: log sum exp(z) - z[label].
//#import "loss/ranks.wgsl"
const NEEDS_SUM = true;
const NEEDS_FOURTH = false;

fn lossOf(s: Sample) -> f32 { return log1p(s.sum) + (s.top.value.x - s.labelLogit); }

// The label's gradient is minus the sum of the others, never p - 1, which is 0 in f32 for every confident sample.
fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let total = s.sum + exp(s.labelLogit - s.top.value.x);
  return select(exp(logit - s.top.value.x), -s.sum, k == s.label) / total;
}
