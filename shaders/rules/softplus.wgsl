// Derivative of softplus(p.x z) / p.x; with a ceiling p.y > 0, of the same minus its copy moved to the ceiling.
fn logistic(x: f32) -> f32 {
  // exp of a negative number never overflows.
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 {
  return g * (logistic(p.x * z) - select(0.0, logistic(p.x * (z - p.y)), p.y > 0.0));
}
