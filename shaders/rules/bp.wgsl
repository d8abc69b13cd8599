// The true derivative.
fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 {
  return g * d;
}
