// Numbers as whole ones.
//#import "elementwise/grid.wgsl"
const WX = 64u;

struct Params { count: u32, numbersBase: u32, resultBase: u32 }

@group(1) @binding(0) var<uniform> p: Params;
@group(1) @binding(1) var<storage, read> numbers: array<f32>;
@group(1) @binding(2) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.count) { return; }
  result[p.resultBase + index] = u32(max(numbers[p.numbersBase + index], 0.0));
}
