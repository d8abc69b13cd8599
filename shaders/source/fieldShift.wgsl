// Places that images moved by up to REACH whole pixels are read at.
//#import "source/field.wgsl"
const REACH = 3.0;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.count) { return; }
  let at = placeOf(index);
  let own = select(at.column, at.row, at.plane == 0u);
  result[p.resultBase + index] = f32(own) + REACH - choice(at.sample, at.plane, 2.0 * REACH + 1.0);
}
