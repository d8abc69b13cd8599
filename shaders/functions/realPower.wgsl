// x to the power e; of negative x for whole e, for which `pow` is not defined.

fn power(x: f32, e: f32) -> f32 {
  if (e == 0.0) { return 1.0; }
  let size = pow(abs(x), e);
  let odd = abs(e - 2.0 * floor(e / 2.0)) == 1.0;
  let whole = select(size, -size, odd);
  return select(size, select(whole, bitcast<f32>(0x7fc00000u | u32(odd)), e != floor(e)), x < 0.0);
}
