/** What a formula tensor stands for; decides the range of its values. */
export type FormulaKind = 'weight' | 'bias' | 'bn.weight' | 'bn.bias' | 'bn.running_mean' | 'bn.running_var' | 'input';

/** FNV-1a, 32 bit, of a string's UTF-8 bytes (offset basis 2166136261, prime 16777619). Result 0..2^32-1. */
export function fnv1a(text: string): number {
  let hash = 2166136261;
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

/**
 * Element `index` of the uniform sequence of `seed`: PCG-RXS-M-XS output of `index * 747796405 + seed * 2891336453 +
 * 2891336453`, upper 24 bits. In [0, 1).
 */
export function formulaUniform(seed: number, index: number): number {
  const state = (Math.imul(index, 747796405) + Math.imul(seed, 2891336453) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return (((word >>> 22) ^ word) >>> 8) / 2 ** 24;
}

/** The first `count` uniforms u(i) of a key, as float64 (each is exact in float32, too). */
export function formulaUniforms(key: string, count: number): Float64Array {
  const seed = fnv1a(key);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = formulaUniform(seed, i);
  return values;
}

/**
 * A tensor given by a formula of its state-dict key, so that any implementation can fill a network of any size with
 * the same numbers: computed in float64, rounded to float32.
 *
 * | kind | value |
 * | --- | --- |
 * | `weight` | (2u - 1) sqrt(6 / fan_in), fan_in = product of all dimensions but the first |
 * | `bias` | (2u - 1) 0.1 |
 * | `bn.weight` | 0.4 + 0.4 u |
 * | `bn.bias`, `bn.running_mean` | (2u - 1) 0.2 |
 * | `bn.running_var` | 0.6 + 0.8 u |
 * | `input` | u |
 */
export function formulaTensor(key: string, shape: readonly number[], kind: FormulaKind): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  const value = valueOf(kind, fanIn);
  return Float32Array.from(formulaUniforms(key, count), value);
}

function valueOf(kind: FormulaKind, fanIn: number): (u: number) => number {
  switch (kind) {
    case 'weight': {
      const bound = Math.sqrt(6 / fanIn);
      return (u) => (2 * u - 1) * bound;
    }
    case 'bias':
      return (u) => (2 * u - 1) * 0.1;
    case 'bn.weight':
      return (u) => 0.4 + 0.4 * u;
    case 'bn.bias':
    case 'bn.running_mean':
      return (u) => (2 * u - 1) * 0.2;
    case 'bn.running_var':
      return (u) => 0.6 + 0.8 * u;
    case 'input':
      return (u) => u;
  }
}
