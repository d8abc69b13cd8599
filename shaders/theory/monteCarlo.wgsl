// What the Monte Carlo kernels share: every invocation adds up the gradients of some draws of its workgroup's window,
// and the workgroup reduces sums and sums of squares of both rules' gradients by a tree: partials[group][4][D1].
//#import "random/philox.wgsl"
//#import "theory/treeSum4.wgsl"
const D1 = 4u; // entries of a gradient
const D2 = 3u;
const D3 = 2u;
const ROW = 12u; // normals kept of a draw, a multiple of 4

// first: number of the first draw of this dispatch; count: its draws; perGroup: draws of a workgroup; firstGroup: its
// first row of partials
struct Params { first: u32, count: u32, perGroup: u32, firstGroup: u32, seed: u32, stream: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> points: array<f32>; // current point [D1], teacher [D1]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

var<private> row: array<f32, ROW>;
var<private> bp: array<f32, D1>;
var<private> linbp: array<f32, D1>;
var<private> sums: array<vec4f, D1>; // of bp, linbp and their squares

fn normalBlock(sample: u32, block: u32) -> vec4f {
  let bits = philox4x32(vec4u(block, sample, 0u, 0u), vec2u(p.seed, p.stream));
  return vec4f(normalPair(bits.x, bits.y), normalPair(bits.z, bits.w));
}

// The draws of this invocation are firstDraw, firstDraw + LANES, ... below lastDraw, counted from p.first.
fn firstDraw(group: u32, lane: u32) -> u32 {
  return group * p.perGroup + lane;
}

fn lastDraw(group: u32) -> u32 {
  return min((group + 1u) * p.perGroup, p.count);
}

// Adds the gradients of one draw.
fn accumulate() {
  for (var j = 0u; j < D1; j++) { sums[j] += vec4f(bp[j], linbp[j], bp[j] * bp[j], linbp[j] * linbp[j]); }
}

// Stores the workgroup's sums; to be called from uniform control flow.
fn storeSums(group: u32, lane: u32) {
  for (var j = 0u; j < D1; j++) {
    let total = treeSum4(lane, sums[j]);
    if (lane < 4u) { partials[((p.firstGroup + group) * 4u + lane) * D1 + j] = total[lane]; }
  }
}
