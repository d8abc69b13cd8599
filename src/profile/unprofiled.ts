import type { Program } from '../program/program.js';
import type { TimedDispatch } from './timestamps.js';

/** Encode, submit and wait of the dispatches in one pass, in microseconds. */
export async function unprofiled(
  program: Program,
  work: readonly TimedDispatch[],
): Promise<[encode: number, submit: number, wait: number]> {
  const { device } = program;
  const began = performance.now();
  const encoder = device.gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  let first = 0;
  while (first < work.length) {
    // Consecutive dispatches of one segment are encoded together, as a production run does.
    let end = first;
    while (end < work.length && work[end]!.dispatch.source.segment === work[first]!.dispatch.source.segment) end++;
    program.encode(
      pass,
      work.slice(first, end).map(({ dispatch }) => dispatch),
      work[first]!.row,
    );
    first = end;
  }
  pass.end();
  const commands = encoder.finish();
  const encoded = performance.now();
  device.submit([commands], { dispatches: work.length });
  const submitted = performance.now();
  await device.idle();
  return [1e3 * (encoded - began), 1e3 * (submitted - encoded), 1e3 * (performance.now() - submitted)];
}
