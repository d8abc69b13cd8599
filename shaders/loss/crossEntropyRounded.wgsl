// Cross entropy whose gradient is the rounded probability minus the one-hot label, as frameworks compute it in f32: 0 at the label of
// every sample that is confident enough. For comparison with published figures only.
//#import "loss/ranks.wgsl"
const NEEDS_SUM = true;

fn lossOf(s: Sample) -> f32 { return log1p(s.sum) + (s.top.value.x - s.labelLogit); }

// Written without p - 1, which a compiler may simplify: below 1 the numbers of f32 are 2^-24 apart.
fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let total = s.sum + exp(s.labelLogit - s.top.value.x);
  let rest = s.sum / total;
  let rounded = select(rest, round(rest * 16777216.0) / 16777216.0, rest < 0.5);
  return select(exp(logit - s.top.value.x) / total, -rounded, k == s.label);
}
