// Places of images whose middle moves by the sample's numbers, in half images, and whose edges' eight control points
// stay: a thin-plate spline with the kernel d^2 log d^2, linear in what moves.
//#import "source/field.wgsl"
//#region spline
const weights = array<f32, 9>(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
const affine = array<f32, 3>(1.0, 0.0, 0.0);
//#endregion

fn spline(row: f32, column: f32) -> f32 {
  var sum = affine[0] + affine[1] * row + affine[2] * column;
  for (var k = 0u; k < 9u; k++) {
    let d = vec2f(row - f32(k / 3u) + 1.0, column - f32(k % 3u) + 1.0);
    let square = dot(d, d);
    sum += weights[k] * square * log(square + 1e-9);
  }
  return sum;
}

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = blockOf(group) * WX + local;
  if (index >= p.count) { return; }
  let at = placeOf(index);
  let half = 0.5 * vec2f(f32(p.height) - 1.0, f32(p.width) - 1.0);
  let here = vec2f(f32(at.row), f32(at.column));
  let moved = spline(here.x / half.x - 1.0, here.y / half.y - 1.0) * number(at.sample, at.plane);
  result[p.resultBase + index] = select(here.y + moved * half.y, here.x + moved * half.x, at.plane == 0u);
}
