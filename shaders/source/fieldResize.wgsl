// The matrix [FRAME, side] that scales an axis of `width` pixels to a random length, bilinear with pixel centers at
// halves, and puts it at a random place of the frame of `height` pixels, zeros around.
//#import "source/field.wgsl"
const AXIS = 0u; // 0 places rows, 1 columns

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.count) { return; }
  let at = placeOf(index);
  let frame = f32(p.height);
  let side = f32(p.width);
  let length = side + choice(at.sample, 0u, frame - side + 1.0);
  let inside = f32(at.row) - choice(at.sample, 1u + AXIS, frame - length + 1.0);
  let source = max((inside + 0.5) * side / length - 0.5, 0.0);
  let low = min(floor(source), side - 1.0);
  let high = min(low + 1.0, side - 1.0);
  let share = source - low;
  let column = f32(at.column);
  let weight = select(0.0, 1.0 - share, column == low) + select(0.0, share, column == high);
  result[p.resultBase + index] = select(0.0, weight, inside >= 0.0 && inside < length);
}
