// x between p.x and p.y. The largest f32 as a bound stands for an open side, on which infinity stays what it is.

fn value(x: f32, p: vec4f) -> f32 {
  let above = x >= p.y && p.y < 0x1.fffffep+127;
  let below = x <= p.x && p.x > -0x1.fffffep+127;
  return select(select(x, p.y, above), p.x, below);
}
fn slope(x: f32, p: vec4f) -> f32 { return select(0.0, 1.0, x > p.x && x < p.y); }
