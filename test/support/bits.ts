/** Random 32-bit words from a fixed seed (Marsaglia's xorshift), for tests that mutate bytes. */
export function randomBits(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
