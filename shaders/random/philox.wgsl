// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011). src/random/philox.ts is the same
// in TypeScript. Convention: key = (seed, stream), counter = (element / 4, sample id, step, 0); element i takes word
// i % 4.

// (high, low) halves of the 64-bit product. WGSL has no 64-bit integers, so it is put together from 16-bit halves;
// no partial sum exceeds 32 bits: (2^16-1)^2 + 2^16-1 < 2^32.
fn multiply32(a: u32, b: u32) -> vec2<u32> {
  let aLow = a & 0xffffu;
  let aHigh = a >> 16u;
  let bLow = b & 0xffffu;
  let bHigh = b >> 16u;
  let low = aLow * bLow;
  let middle = aHigh * bLow + (low >> 16u);
  let cross = aLow * bHigh + (middle & 0xffffu);
  return vec2<u32>(aHigh * bHigh + (middle >> 16u) + (cross >> 16u), a * b);
}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let p0 = multiply32(0xd2511f53u, c.x);
    let p1 = multiply32(0xcd9e8d57u, c.z);
    c = vec4<u32>(p1.x ^ c.y ^ k.x, p1.y, p0.x ^ c.w ^ k.y, p0.y);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

// In [0, 1), exact.
fn uniform01(bits: u32) -> f32 {
  return f32(bits >> 8u) * 0x1p-24;
}

// ln(n 2^-24) for 1 <= n <= 2^24. WGSL lets log() be off by 2^-21, which near n = 2^24 is larger than the result
// itself, so that normals would differ from one device to the next. Here n = m 2^e with m in [0.75, 1.5) and ln m = 2
// artanh((m-1)/(m+1)).
fn logOfUniform(n: u32) -> f32 {
  var exponent = i32(firstLeadingBit(n));
  var m = f32(n) * exp2Integer(-exponent);
  if (m >= 1.5) {
    m *= 0.5;
    exponent += 1;
  }
  let s = (m - 1.0) / (m + 1.0);
  let q = s * s;
  let series = 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0)))));
  return f32(exponent - 24) * 0.6931471805599453 + series;
}

// 2^e for -126 <= e <= 127, by its bits: exp2() need not be exact.
fn exp2Integer(e: i32) -> f32 {
  return bitcast<f32>(u32(e + 127) << 23u);
}

// (cos, sin) of 2 pi t for 0 <= t < 1 by Taylor series in the nearest quadrant: WGSL lets cos() be off by 2^-11.
fn cosSinOfTurn(t: f32) -> vec2f {
  let quadrant = u32(4.0 * t + 0.5);
  let x = (t - 0.25 * f32(quadrant)) * 6.283185307179586;
  let q = x * x;
  let c = 1.0 - q * (0.5 - q * (1.0 / 24.0 - q * (1.0 / 720.0 - q * (1.0 / 40320.0))));
  let s = x * (1.0 - q * (1.0 / 6.0 - q * (1.0 / 120.0 - q * (1.0 / 5040.0 - q * (1.0 / 362880.0)))));
  switch quadrant & 3u {
    case 0u: { return vec2f(c, s); }
    case 1u: { return vec2f(-s, c); }
    case 2u: { return vec2f(-c, -s); }
    default: { return vec2f(s, -c); }
  }
}

// Two independent standard normal numbers (Box and Muller 1958); within 1e-5 of the float64 formula.
fn normalPair(a: u32, b: u32) -> vec2f {
  let radius = sqrt(-2.0 * logOfUniform((a >> 8u) + 1u));
  return radius * cosSinOfTurn(uniform01(b));
}
