// log(1 + x) of x >= 0, by its series near zero, where the sum would lose digits.

fn logarithmOfOneAnd(x: f32) -> f32 {
  if (x < 0.0625) { return x * (1.0 + x * (-0.5 + x * (1.0 / 3.0 + x * (-0.25 + x * (0.2 - x / 6.0))))); }
  return log(1.0 + x);
}
