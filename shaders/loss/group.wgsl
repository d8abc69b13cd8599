// One workgroup per sample, for many classes.
//#import "loss/ranks.wgsl"
const LANES = 64u;
var<workgroup> tops: array<Top, LANES>;
var<workgroup> sums: array<f32, LANES>;

fn combineTop(lane: u32, top: Top) -> Top {
  tops[lane] = top;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { tops[lane] = merge(tops[lane], tops[lane + width]); }
  }
  workgroupBarrier();
  return tops[0];
}

fn combineSum(lane: u32, sum: f32) -> f32 {
  sums[lane] = sum;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { sums[lane] += sums[lane + width]; }
  }
  workgroupBarrier();
  return sums[0];
}
