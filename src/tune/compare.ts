import { median } from '../profile/profile.js';
import { TimestampRun, wallClockTimeline } from '../profile/timestamps.js';
import type { TimedDispatch } from '../profile/timestamps.js';
import type { Workload } from '../profile/workloads.js';

/** Two forms of one step, timed in turns: microseconds from the first dispatch to the end of the last. */
export interface Comparison {
  readonly untuned: number;
  readonly tuned: number;
  /** Median over rounds of tuned over untuned, each round's two runs next to each other. */
  readonly ratio: number;
  /** Ratio of the shortest runs, which other load disturbs least. */
  readonly shortestRatio: number;
}

/** Times two workloads in turns after one warm-up each. Both steps really run, `rounds` + 1 times. */
export async function compareWorkloads(untuned: Workload, tuned: Workload, rounds: number): Promise<Comparison> {
  const sides = [untuned, tuned].map(({ program, segments, row }) => {
    program.derive();
    const work = segments.flatMap((segment) =>
      program.segmentDispatches(segment).map((dispatch): TimedDispatch => ({ dispatch, row })),
    );
    const timestamps = program.device.features.has('timestamp-query') ? new TimestampRun(program, work) : undefined;
    const run = async (): Promise<number> =>
      (timestamps === undefined ? await wallClockTimeline(program, work) : await timestamps.run()).end.at(-1)! / 1e3;
    return { run, destroy: () => timestamps?.destroy() };
  });
  const times: [number, number][] = [];
  try {
    for (let round = 0; round <= rounds; round++) {
      const both = [0, 0] as [number, number];
      // Who goes first alternates.
      for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) both[side] = await sides[side]!.run();
      if (round > 0) times.push(both);
    }
  } finally {
    for (const side of sides) side.destroy();
  }
  const of = (side: 0 | 1): number[] => times.map((both) => both[side]);
  return {
    untuned: median(of(0)),
    tuned: median(of(1)),
    ratio: median(times.map(([before, after]) => after / before)),
    shortestRatio: Math.min(...of(1)) / Math.min(...of(0)),
  };
}
