// The cosine.
//#import "functions/circular.wgsl"

fn value(x: f32, p: vec4f) -> f32 { return circular(x).x; }
fn slope(x: f32, p: vec4f) -> f32 { return -circular(x).y; }
