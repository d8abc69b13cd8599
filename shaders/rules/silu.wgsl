// Derivative of z * logistic(z); with a ceiling p.x > 0, of the same minus its copy moved to the ceiling. Times p.y.
fn siluDerivative(z: f32) -> f32 {
  // exp of a negative number never overflows.
  let e = exp(-abs(z));
  let s = select(e, 1.0, z >= 0.0) / (1.0 + e);
  // s (1 - s), written so that neither factor cancels.
  return s + z * e / ((1.0 + e) * (1.0 + e));
}

fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 {
  return p.y * g * (siluDerivative(z) - select(0.0, siluDerivative(z - p.x), p.x > 0.0));
}
