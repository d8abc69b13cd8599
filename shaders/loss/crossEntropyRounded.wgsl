// Cross entropy whose gradient at the label is p - 1 as frameworks compute it in f32 behind a log-softmax: the sum of
// exponentials is at least 1, where the numbers of f32 are 2^-23 apart, so the others' share is a multiple of 2^-23,
// and 0 for confident samples. For comparison with published figures only.
//#import "loss/ranks.wgsl"
const NEEDS_SUM = true;
const NEEDS_FOURTH = false;

fn lossOf(s: Sample) -> f32 { return log1p(s.sum) + (s.top.value.x - s.labelLogit); }

// Written without p - 1, which a compiler may simplify.
fn gradientOf(s: Sample, k: u32, logit: f32) -> f32 {
  let total = s.sum + exp(s.labelLogit - s.top.value.x);
  let rest = s.sum / total;
  let rounded = select(rest, round(rest * 8388608.0) / 8388608.0, rest < 0.5);
  return select(exp(logit - s.top.value.x) / total, -rounded, k == s.label);
}
