// Functions of JavaScript's Math that WGSL lacks or defines differently, for rules translated from JavaScript.

// Bound of `while` loops, and of `for` loops whose end is not known.
const LOOP_MAX: i32 = 1000;

// x ** 0 is 1 for every x; negative bases have whole exponents only.
fn _pow(x: f32, y: f32) -> f32 {
  let odd = abs(y % 2.0) == 1.0;
  return select(pow(abs(x), y) * select(1.0, -1.0, x < 0.0 && odd), 1.0, y == 0.0);
}

// Halves round up.
fn _round(x: f32) -> f32 {
  return floor(x + 0.5);
}

fn cbrt(x: f32) -> f32 {
  return sign(x) * pow(abs(x), 1.0 / 3.0);
}

// Near zero the series, where the plain forms cancel.
fn expm1(x: f32) -> f32 {
  return select(exp(x) - 1.0, x * (1.0 + x * (0.5 + x / 6.0)), abs(x) < 0.01);
}

fn log1p(x: f32) -> f32 {
  return select(log(1.0 + x), x * (1.0 - x * (0.5 - x / 3.0)), abs(x) < 0.01);
}

fn log10(x: f32) -> f32 {
  return log(x) * 0.4342944819032518;
}

fn fround(x: f32) -> f32 {
  return x;
}

// Replaced by the translated function.
//#region RULE
fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 {
  return g * d;
}
//#endregion
