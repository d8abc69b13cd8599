// Sampled gradients of the two-layer problem. A draw is a pair of standard normal matrices W [D2, D1] and V [D3, D2];
// its gradients are
//   BP     W^T D(Wx) V^T V (relu(Wx) - relu(Wx*))        LinBP  W^T V^T V (relu(Wx) - relu(Wx*))
// Draw i is the Philox sample i of the stream: elements 0 .. D2 D1 - 1 are W, the D3 D2 from the next multiple of 4
// on are V.
//#import "theory/monteCarlo.wgsl"

fn gradients(index: u32) {
  const V_BLOCK = (D2 * D1 + 3u) / 4u;
  for (var block = 0u; block < V_BLOCK; block++) {
    let values = normalBlock(index, block);
    for (var k = 0u; k < 4u; k++) { row[4u * block + k] = values[k]; }
  }
  var error: array<f32, D2>;
  var positive: array<bool, D2>;
  var back: array<f32, D2>; // V^T V error
  for (var i = 0u; i < D2; i++) {
    var z = 0.0;
    var teacher = 0.0;
    for (var j = 0u; j < D1; j++) {
      z += row[i * D1 + j] * points[j];
      teacher += row[i * D1 + j] * points[D1 + j];
    }
    error[i] = max(z, 0.0) - max(teacher, 0.0);
    positive[i] = z > 0.0;
    back[i] = 0.0;
  }
  // V is never stored whole: each of its rows is used twice and forgotten.
  var v: array<f32, D2>;
  var values: vec4f;
  for (var k = 0u; k < D3; k++) {
    var output = 0.0;
    for (var i = 0u; i < D2; i++) {
      let element = k * D2 + i;
      if (element % 4u == 0u) { values = normalBlock(index, V_BLOCK + element / 4u); }
      v[i] = values[element % 4u];
      output += v[i] * error[i];
    }
    for (var i = 0u; i < D2; i++) { back[i] += v[i] * output; }
  }
  for (var j = 0u; j < D1; j++) {
    bp[j] = 0.0;
    linbp[j] = 0.0;
  }
  for (var i = 0u; i < D2; i++) {
    let masked = select(0.0, back[i], positive[i]);
    for (var j = 0u; j < D1; j++) {
      bp[j] += row[i * D1 + j] * masked;
      linbp[j] += row[i * D1 + j] * back[i];
    }
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
