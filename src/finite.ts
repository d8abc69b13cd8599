import { LinbpError } from './errors.js';

/** Index of the first number that is infinite or NaN; -1 where all are finite. */
export function firstNonFinite(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/**
 * The gate in front of every figure: throws `diverged` where something that it was computed from is infinite or NaN.
 *
 * @param values what the figure is computed from
 * @param what names a value by its index, such as `the loss of image 3`
 * @param where says where it comes from, such as the first layer that is not finite; asked only in case of need
 */
export function expectFinite(
  values: ArrayLike<number>,
  what: (index: number) => string,
  where: () => string | undefined = () => undefined,
): void {
  const bad = firstNonFinite(values);
  if (bad >= 0) throw divergence(`${what(bad)} is ${values[bad]}`, where());
}

/** The error of figures that cannot be given, with where the trouble begins, as far as that is known. */
export function divergence(what: string, where?: string, field = 'model'): LinbpError {
  return new LinbpError('diverged', where === undefined || where === '' ? what : `${what}: ${where}`, { field });
}
