/** Functions of two numbers, with the same text in WGSL, where numbers may also be vectors of four. */
export interface BinaryFunction {
  /** WGSL expression in terms of `a` and `b`, and of the epilogue's types `Values` and `MaskWords`. */
  readonly wgsl: string;
  readonly value: (a: number, b: number) => number;
}

/** Whether `a` or `b` is NaN, by their bits: compilers may take it for granted that no number is. */
const isNaNText = (name: string): string =>
  `((bitcast<MaskWords>(${name}) & MaskWords(0x7fffffffu)) > MaskWords(0x7f800000u))`;
const orSum = (text: string): string => `select(${text}, a + b, ${isNaNText('a')} | ${isNaNText('b')})`;

const sides = (a: number, b: number): number => (a > b ? 1 : a === b ? 0.5 : 0);

/** Elementwise arithmetic of two tensors. `max` and `min` keep NaN. */
export const binaryFunctions = {
  add: { wgsl: 'a + b', value: (a, b) => a + b },
  sub: { wgsl: 'a - b', value: (a, b) => a - b },
  mul: { wgsl: 'a * b', value: (a, b) => a * b },
  div: { wgsl: 'a / b', value: (a, b) => a / b },
  max: { wgsl: orSum('select(b, a, a >= b)'), value: (a, b) => Math.max(a, b) },
  min: { wgsl: orSum('select(b, a, a <= b)'), value: (a, b) => Math.min(a, b) },
  /** 1 where a > b, a half where they are equal, else 0: the share of the gradient that `max` passes to a. */
  above: {
    wgsl: 'select(select(Values(0.0), Values(0.5), a == b), Values(1.0), a > b)',
    value: sides,
  },
} as const satisfies Readonly<Record<string, BinaryFunction>>;

export type BinaryName = keyof typeof binaryFunctions;
