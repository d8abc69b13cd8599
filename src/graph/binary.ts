/** Functions of two numbers, with the same text in WGSL, where numbers may also be vectors of four. */
export interface BinaryFunction {
  /** WGSL expression in terms of `a` and `b`. */
  readonly wgsl: string;
  readonly value: (a: number, b: number) => number;
}

const sides = (a: number, b: number): number => (a > b ? 1 : a === b ? 0.5 : 0);

/** Elementwise arithmetic of two tensors. `max` and `min` keep NaN. */
export const binaryFunctions = {
  add: { wgsl: 'a + b', value: (a, b) => a + b },
  sub: { wgsl: 'a - b', value: (a, b) => a - b },
  mul: { wgsl: 'a * b', value: (a, b) => a * b },
  div: { wgsl: 'a / b', value: (a, b) => a / b },
  max: { wgsl: 'select(b, a, (a >= b) | (a != a))', value: (a, b) => Math.max(a, b) },
  min: { wgsl: 'select(b, a, (a <= b) | (a != a))', value: (a, b) => Math.min(a, b) },
  /** 1 where a > b, a half where they are equal, else 0: the share of the gradient that `max` passes to a. */
  above: {
    wgsl: 'select(select(Values(0.0), Values(0.5), a == b), Values(1.0), a > b)',
    value: sides,
  },
} as const satisfies Readonly<Record<string, BinaryFunction>>;

export type BinaryName = keyof typeof binaryFunctions;
