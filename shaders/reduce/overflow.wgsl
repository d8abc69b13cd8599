// Whether an array of floats holds something that is not finite. It is told by the bits, because compilers may assume
// that comparisons meet neither NaN nor infinity. Each workgroup looks through `perGroup` elements and writes `mark`
// or 0.
//#import "elementwise/grid.wgsl"
const LANES = 256u;

struct Params { count: u32, perGroup: u32, first: u32, mark: u32, xBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> x: array<u32>;
@group(1) @binding(2) var<storage, read_write> result: array<u32>;

var<workgroup> found: atomic<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = blockOf(group);
  let start = block * p.perGroup;
  let end = min(start + p.perGroup, p.count);
  for (var i = start + lane; i < end; i += LANES) {
    if ((x[p.xBase + i] & 0x7f800000u) == 0x7f800000u) { atomicOr(&found, 1u); }
  }
  workgroupBarrier();
  if (lane == 0u && start < p.count) {
    result[p.resultBase + p.first + block] = select(0u, p.mark, atomicLoad(&found) != 0u);
  }
}
