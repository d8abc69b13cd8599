// Sampled gradients of the one-layer problem. A draw is one standard normal row X; its gradients are
//   BP     X^T D(Xw) (relu(Xw) - relu(Xw*))        LinBP  X^T (relu(Xw) - relu(Xw*))
// Draw i is the Philox sample i of the stream. Sums and sums of squares over a workgroup's draws, in a fixed order.
//#import "theory/monteCarlo.wgsl"

fn gradients(index: u32) {
  for (var block = 0u; block < (D1 + 3u) / 4u; block++) {
    let values = normalBlock(index, block);
    for (var k = 0u; k < 4u; k++) { row[4u * block + k] = values[k]; }
  }
  var z = 0.0;
  var teacher = 0.0;
  for (var j = 0u; j < D1; j++) {
    z += row[j] * points[j];
    teacher += row[j] * points[D1 + j];
  }
  let error = max(z, 0.0) - max(teacher, 0.0);
  let masked = select(0.0, error, z > 0.0);
  for (var j = 0u; j < D1; j++) {
    bp[j] = masked * row[j];
    linbp[j] = error * row[j];
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstDraw(group.x, lane); i < lastDraw(group.x); i += LANES) {
    gradients(p.first + i);
    accumulate();
  }
  storeSums(group.x, lane);
}
