// exp(x) - 1, by its series near zero, where the difference would lose digits.

fn exponentialLessOne(x: f32) -> f32 {
  if (abs(x) < 0.125) {
    return x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0))))));
  }
  return exp(x) - 1.0;
}
