// (cos, sin) of an angle in radians, up to 2^15, by Taylor series in the nearest quadrant: WGSL lets sin() and cos() be
// off by 2^-11, and some drivers are. The multiple of pi / 2 comes off in three parts, of which products are exact.
fn circular(x: f32) -> vec2f {
  let quarters = round(x * 0.63661977237);
  let r = ((x - quarters * 1.5703125) - quarters * 4.83751297e-4) - quarters * 7.54978995e-8;
  let q = r * r;
  let s = r + r * q * (-1.0 / 6.0 + q * (1.0 / 120.0 + q * (-1.0 / 5040.0 + q * (1.0 / 362880.0))));
  let c = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * (-1.0 / 720.0 + q * (1.0 / 40320.0 - q * (1.0 / 3628800.0)))));
  let quadrant = u32(i32(quarters)) & 3u;
  let turned = select(vec2f(c, s), vec2f(-s, c), (quadrant & 1u) != 0u);
  return select(turned, -turned, quadrant >= 2u);
}
