// Cross entropy: log sum exp(z) - z[label].
//#import "loss/ranks.wgsl"
const NEEDS_SUM = true;

// ln(1 + s) to full relative accuracy for s >= 0: log() may be off by 2^-21, which near 1 is larger than its result.
fn log1p(s: f32) -> f32 {
  if (s >= 0.5) { return log(1.0 + s); }
  let t = s / (2.0 + s);
  let q = t * t;
  return 2.0 * t * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0))))));
}

fn lossOf(s: Sample) -> f32 { return log1p(s.sum) + (s.top.value.x - s.labelLogit); }

// The label's gradient is minus the sum of the others, never p - 1, which is 0 in f32 for every confident sample.
fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let total = s.sum + exp(s.labelLogit - s.top.value.x);
  return select(exp(logit - s.top.value.x), -s.sum, k == s.label) / total;
}
