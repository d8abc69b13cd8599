/** A generator of whole numbers 0..n-1 (Marsaglia's xorshift), so that a printed seed repeats a run. */
export function generator(seed) {
  let state = (seed >>> 0) + 0x9e3779b9;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}
