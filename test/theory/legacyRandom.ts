/**
 * NumPy's legacy generator, `np.random.RandomState(seed)`: the Mersenne Twister MT19937 (M. Matsumoto, T. Nishimura,
 * 1998) seeded from one word, doubles of 53 bits from two words, and normal numbers by the polar method (G.
 * Marsaglia), of whose pair the second is handed out first.
 */
export class LegacyRandom {
  private readonly words = new Uint32Array(624);
  private next = 624;
  private spare: number | undefined;

  constructor(seed: number) {
    const { words } = this;
    words[0] = seed;
    for (let i = 1; i < 624; i++) {
      const previous = words[i - 1]!;
      words[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  private word(): number {
    const { words } = this;
    if (this.next === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (words[i]! & 0x80000000) | (words[(i + 1) % 624]! & 0x7fffffff);
        words[i] = words[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = words[this.next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  normal(): number {
    if (this.spare !== undefined) {
      const value = this.spare;
      this.spare = undefined;
      return value;
    }
    let x: number;
    let y: number;
    let square: number;
    do {
      x = 2 * this.uniform() - 1;
      y = 2 * this.uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    this.spare = factor * x;
    return factor * y;
  }

  /** `randn(count)`. */
  normals(count: number): Float64Array {
    return Float64Array.from({ length: count }, () => this.normal());
  }
}
