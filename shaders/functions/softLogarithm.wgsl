// log(1 + exp(x)), which never overflows.
//#import "functions/logarithm.wgsl"

fn softLogarithm(x: f32) -> f32 { return select(x, 0.0, x <= 0.0) + logarithmOfOneAnd(exp(-abs(x))); }
