// One invocation per sample.
//#import "loss/ranks.wgsl"
const LANES = 1u;
fn combineTop(lane: u32, top: Top) -> Top { return top; }
fn combineSum(lane: u32, sum: f32) -> f32 { return sum; }
