// Functions of JavaScript's Math that WGSL lacks or defines differently, for rules translated from JavaScript.

fn _isNaN(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn _nan(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
}

// NaN where an argument is.
fn _max(x: f32, y: f32) -> f32 {
  return select(max(x, y), _nan(x), _isNaN(x) || _isNaN(y));
}

fn _min(x: f32, y: f32) -> f32 {
  return select(min(x, y), _nan(x), _isNaN(x) || _isNaN(y));
}

fn _sign(x: f32) -> f32 {
  return select(sign(x), x, _isNaN(x));
}

// The exact remainder, with the sign of x. The multiples of y that are taken off are y times powers of two, each at
// most the rest and more than half of it, so that no difference rounds.
fn _mod(x: f32, y: f32) -> f32 {
  let divisor = abs(y);
  var rest = abs(x);
  let one = bitcast<u32>(divisor);
  if (_isNaN(x) || _isNaN(y) || divisor == 0.0 || bitcast<u32>(rest) == 0x7f800000u) {
    return _nan(x);
  }
  // Numbers without all of their digits have no exponent to count with.
  if (one < 0x00800000u) {
    return x % y;
  }
  while (rest >= divisor) {
    let exponents = (bitcast<u32>(rest) >> 23u) - (one >> 23u);
    let multiple = bitcast<f32>(one + (exponents << 23u));
    rest -= select(multiple, bitcast<f32>(one + ((exponents - 1u) << 23u)), multiple > rest);
  }
  return select(rest, -rest, x < 0.0);
}

// x ** 0 is 1 for every x; negative bases have a power for whole exponents only.
fn _pow(x: f32, y: f32) -> f32 {
  let odd = abs(y % 2.0) == 1.0;
  let power = pow(abs(x), y) * select(1.0, -1.0, x < 0.0 && odd);
  return select(select(power, _nan(x), x < 0.0 && y != floor(y)), 1.0, y == 0.0);
}

// Halves round up; x + 0.5 would round on its own.
fn _round(x: f32) -> f32 {
  let below = floor(x);
  return select(below, below + 1.0, x - below >= 0.5);
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
