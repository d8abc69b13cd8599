// Moments (count, mean, sum of squared deviations) of two sets of values as those of their union (T. Chan, G. Golub,
// R. LeVeque, 1979): a large mean costs no digits of the variance.
fn merged(a: vec3f, b: vec3f) -> vec3f {
  let count = a.x + b.x;
  if (count == 0.0) { return a; }
  let delta = b.y - a.y;
  return vec3f(count, a.y + delta * (b.x / count), a.z + b.z + delta * delta * (a.x * b.x / count));
}
