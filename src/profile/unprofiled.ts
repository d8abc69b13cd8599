import type { Program } from '../program/program.js';
import type { TimedDispatch } from './timestamps.js';

/** Encode, submit and wait of a run, in microseconds. */
export type HostTimes = readonly [encode: number, submit: number, wait: number];

/** What a run takes by the wall clock. */
export const wallOf = ([encode, submit, wait]: HostTimes): number => encode + submit + wait;

/** The run of median wall time; of an even number the shorter of the middle two, so that its parts add up. */
export function middleRun(runs: readonly HostTimes[]): HostTimes {
  return [...runs].sort((left, right) => wallOf(left) - wallOf(right))[(runs.length - 1) >> 1]!;
}

/** Runs the dispatches in one pass and one submit. */
export async function unprofiled(program: Program, work: readonly TimedDispatch[]): Promise<HostTimes> {
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
