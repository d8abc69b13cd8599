// Winograd's F(2x2, 3x3): 16 products make 4 outputs, where the direct method takes 36. Lavin and Gray, 2016
// (arXiv:1509.09308), section 4.1.
const OUT = 2u; // outputs of a tile along each axis
const IN = 4u; // inputs of a tile along each axis, and products of a line

// B^T d
fn inputLine(d: array<f32, IN>) -> array<f32, IN> {
  return array<f32, IN>(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]);
}

// G g
fn weightLine(g: array<f32, 3>) -> array<f32, IN> {
  let a = 0.5 * (g[0] + g[2]);
  let b = 0.5 * g[1];
  return array<f32, IN>(g[0], a + b, a - b, g[2]);
}

// A^T m
fn outputLine(m: array<f32, IN>) -> array<f32, OUT> {
  return array<f32, OUT>(m[0] + m[1] + m[2], m[1] - m[2] - m[3]);
}
