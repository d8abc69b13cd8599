// Winograd's F(4x4, 3x3): 36 products make 16 outputs, where the direct method takes 144. Lavin and Gray, 2016
// (arXiv:1509.09308), section 4.3.
const OUT = 4u; // outputs of a tile along each axis
const IN = 6u; // inputs of a tile along each axis, and products of a line

// B^T d
fn inputLine(d: array<f32, IN>) -> array<f32, IN> {
  let a = d[4] - 4.0 * d[2];
  let b = d[3] - 4.0 * d[1];
  let c = d[4] - d[2];
  let e = 2.0 * (d[3] - d[1]);
  return array<f32, IN>(4.0 * d[0] - 5.0 * d[2] + d[4], a + b, a - b, c + e, c - e, 4.0 * d[1] - 5.0 * d[3] + d[5]);
}

// G g
fn weightLine(g: array<f32, 3>) -> array<f32, IN> {
  let a = (g[0] + g[2]) / -6.0;
  let b = g[1] / 6.0;
  let c = g[0] / 24.0 + g[2] / 6.0;
  let e = g[1] / 12.0;
  return array<f32, IN>(g[0] / 4.0, a - b, a + b, c + e, c - e, g[2]);
}

// A^T m
fn outputLine(m: array<f32, IN>) -> array<f32, OUT> {
  let a = m[1] + m[2];
  let b = m[1] - m[2];
  let c = m[3] + m[4];
  let e = m[3] - m[4];
  return array<f32, OUT>(m[0] + a + c, b + 2.0 * e, a + 4.0 * c, b + 8.0 * e + m[5]);
}
