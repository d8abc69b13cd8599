// The error function: its Maclaurin series up to 1; beyond, Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).

fn errorFunction(x: f32) -> f32 {
  let s = x * x;
  if (s < 1.0) {
    // 2 / sqrt(pi) times the sum of (-1)^n x^(2n + 1) / (n! (2n + 1))
    let high = 1.0 / 9360.0 + s * (-1.0 / 75600.0 + s * (1.0 / 685440.0 + s * (-1.0 / 6894720.0)));
    let sum =
      1.0 + s * (-1.0 / 3.0 + s * (0.1 + s * (-1.0 / 42.0 + s * (1.0 / 216.0 + s * (-1.0 / 1320.0 + s * high)))));
    return 1.1283791671 * x * sum;
  }
  let t = 1.0 / (1.0 + 0.3275911 * abs(x));
  let tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(x) * (1.0 - tail * exp(-s));
}
