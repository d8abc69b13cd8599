/**
 * Work of the host that nothing in linbp can change, whose spread is the machine's: a chain of square roots, which
 * waits for one unit of a core, and six chains of additions, which fill it and may slow down when another thread uses
 * the same core.
 */

/** Milliseconds of 20 million square roots. */
export function squareRoots(): number {
  const begin = performance.now();
  let sum = 0;
  for (let i = 0; i < 2e7; i++) sum += Math.sqrt(i);
  return sum > 0 ? performance.now() - begin : NaN;
}

let kept = 1;

/** Milliseconds of six additions `turns` times, in registers. */
export function additions(turns: number): number {
  const begin = performance.now();
  let a = kept;
  let b = 2;
  let c = 3;
  let d = 4;
  let e = 5;
  let f = 6;
  for (let i = 0; i < turns; i++) {
    a = (a + (i ^ b)) | 0;
    b = (b + (i ^ c)) | 0;
    c = (c + (i ^ d)) | 0;
    d = (d + (i ^ e)) | 0;
    e = (e + (i ^ f)) | 0;
    f = (f + (i ^ a)) | 0;
  }
  kept = a ^ f;
  return performance.now() - begin;
}
