import { expectList } from '../arguments.js';
import { check } from '../errors.js';
import type { Program } from '../program/program.js';
import { median } from './profile.js';
import { durationText, textTable } from './textTable.js';
import type { TimedDispatch } from './timestamps.js';
import { unprofiled } from './unprofiled.js';

/** A program that takes part in {@link timeInTurns}: `segments` at `row` of its step table are one step. */
export interface TurnTaker {
  readonly label: string;
  readonly program: Program;
  readonly segments: readonly string[];
  readonly row: number;
}

/** Whole steps of one program, unprofiled, while others took turns with it. */
export interface StepTimes {
  readonly label: string;
  readonly dispatches: number;
  /** Median over the rounds, with the shortest and the longest. */
  readonly microseconds: number;
  readonly minMicroseconds: number;
  readonly maxMicroseconds: number;
  /** Time over that of the first program in the same round: median, smallest and largest over the rounds. */
  readonly ratio: number;
  readonly minRatio: number;
  readonly maxRatio: number;
  readonly planBytes: number;
  readonly savedForBackwardBytes: number;
}

/**
 * Runs one step of each program in each round, in one pass and one submit as a production run does, and compares
 * their wall-clock times round by round, so that a machine whose speed drifts slows all alike. Every other round goes
 * through them backwards. One round runs first and is not counted.
 *
 * Throws `bad-range` unless `rounds` is a whole number from 1.
 */
export async function timeInTurns(takers: readonly TurnTaker[], rounds: number): Promise<StepTimes[]> {
  check(
    Number.isInteger(rounds) && rounds >= 1,
    'bad-range',
    `rounds must be a whole number from 1, got ${rounds}`,
    'rounds',
  );
  const steps = takers.map(({ program, segments, row }) =>
    segments.flatMap((segment) =>
      program.segmentDispatches(segment).map((dispatch): TimedDispatch => ({ dispatch, row })),
    ),
  );
  for (const { program } of takers) program.derive();
  const times = takers.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    const order = [...takers.keys()];
    if (round % 2 === 1) order.reverse();
    for (const index of order) {
      const [encode, submit, wait] = await unprofiled(takers[index]!.program, steps[index]!);
      if (round > 0) times[index]!.push(encode + submit + wait);
    }
  }
  return takers.map(({ label, program: { plan } }, index) => {
    const own = times[index]!;
    const ratios = own.map((time, round) => time / times[0]![round]!);
    return {
      label,
      dispatches: steps[index]!.length,
      microseconds: median(own),
      minMicroseconds: Math.min(...own),
      maxMicroseconds: Math.max(...own),
      ratio: median(ratios),
      minRatio: Math.min(...ratios),
      maxRatio: Math.max(...ratios),
      planBytes: plan.bytes,
      savedForBackwardBytes: plan.savedForBackwardBytes,
    };
  });
}

/** The result of {@link timeInTurns} for a terminal. */
export function formatTurns(times: readonly StepTimes[], rounds: number, width: number = Infinity): string {
  expectList(times, 'times', { label: 'text', ratio: 'number' });
  const right = 'right' as const;
  const table = textTable<StepTimes>(
    [
      { title: 'rule', value: ({ label }) => label },
      { title: 'dispatches', value: ({ dispatches }) => String(dispatches), align: right },
      { title: 'step', value: ({ microseconds }) => durationText(microseconds), align: right },
      { title: 'shortest', value: ({ minMicroseconds }) => durationText(minMicroseconds), align: right },
      { title: `of ${times[0]?.label ?? ''}`, value: ({ ratio }) => ratio.toFixed(3), align: right },
      { title: 'smallest', value: ({ minRatio }) => minRatio.toFixed(3), align: right },
      { title: 'largest', value: ({ maxRatio }) => maxRatio.toFixed(3), align: right },
      { title: 'plan bytes', value: ({ planBytes }) => String(planBytes), align: right },
      {
        title: 'saved for backward',
        value: ({ savedForBackwardBytes }) => String(savedForBackwardBytes),
        align: right,
      },
    ],
    times,
    width,
  );
  return `Whole steps in turns, unprofiled, medians of ${rounds} rounds; ratios are of steps of one round:\n${table}`;
}
