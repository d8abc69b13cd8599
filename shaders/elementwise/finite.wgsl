// Tests that look at the bits, because a compiler may take it for granted that no number is infinite or NaN.
fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn isNaN(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

// `value`, or NaN where `source` is infinite or NaN: max, min, clamp and sign may turn either into a common number.
fn orNaN(value: f32, source: f32) -> f32 {
  return bitcast<f32>(select(0x7fc00000u | bitcast<u32>(source), bitcast<u32>(value), isFinite(source)));
}
