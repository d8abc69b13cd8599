// x to the power p.x. Of negative x for whole p.x: `pow` alone takes none.
//#import "functions/realPower.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return power(x, p.x); }
fn slope(x: f32, p: vec4f) -> f32 { return p.x * power(x, p.x - 1.0); }
