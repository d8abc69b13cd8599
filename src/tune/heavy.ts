import { profileProgram } from '../profile/profile.js';
import type { Program } from '../program/program.js';
import { problemKey } from '../choices/table.js';

/**
 * Problems of a program that take at least `share` (0 to 1) of the time of these segments, by key: tuning the others
 * costs more than they can give. The segments run a few times.
 */
export async function heavyProblems(
  program: Program,
  segments: readonly string[],
  row: number,
  share: number,
): Promise<Map<string, number>> {
  const { dispatches, medianMicroseconds } = await profileProgram(program, { segments, row, repeats: 3 });
  const work = segments.flatMap((segment) => program.segmentDispatches(segment));
  const found = new Map<string, number>();
  for (const [index, { source }] of work.entries()) {
    if (source.tuning === undefined) continue;
    const key = problemKey(source.tuning.problem);
    found.set(key, (found.get(key) ?? 0) + dispatches[index]!.microseconds / medianMicroseconds);
  }
  return new Map([...found].filter(([, part]) => part >= share));
}
