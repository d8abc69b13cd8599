// Hyperbolic tangent. Near zero its series, because 1 - exp(-2x) would lose digits there.

fn tangent(x: f32) -> f32 {
  let s = x * x;
  if (s < 0.0625) {
    return x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
  }
  let e = exp(-2.0 * abs(x));
  return sign(x) * (1.0 - e) / (1.0 + e);
}
