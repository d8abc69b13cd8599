// Guided backpropagation: the true derivative, of positive gradients only.
fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 {
  return select(g, 0.0, g <= 0.0) * d;
}
