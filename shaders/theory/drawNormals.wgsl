// result[repeat][element] = offset + scale * normal, the element of the Philox sample `repeat` of the stream at a
// step. An invocation makes one block of 4 elements.
//#import "random/philox.wgsl"
const WX = 64u;

struct Params { repeats: u32, size: u32, blocks: u32, seed: u32, stream: u32, step: u32, offset: f32, scale: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.x * WX + lane;
  let repeat = index / p.blocks;
  if (repeat >= p.repeats) { return; }
  let block = index % p.blocks;
  let bits = philox4x32(vec4u(block, repeat, p.step, 0u), vec2u(p.seed, p.stream));
  let values = vec4f(normalPair(bits.x, bits.y), normalPair(bits.z, bits.w));
  for (var k = 0u; k < 4u; k++) {
    let element = 4u * block + k;
    if (element < p.size) { result[repeat * p.size + element] = p.offset + p.scale * values[k]; }
  }
}
