// Between bp (p.x = 0) and linbp (p.x = 1): p.x is the slope where the activation is flat.
fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 {
  return g * (d + p.x * (1.0 - d));
}
