import type { KernelDevice } from '../device.js';
import type { KernelChoice, Tile, TuningProblem } from '../problem.js';
import { registerTiles } from '../registerTiles.js';
import { shareOf } from '../tiles.js';

/**
 * A product of one channel of a small image: pixel `output` takes pixel `input` under tap `tap` of the window, all
 * counted row by row.
 */
export interface Meeting {
  readonly tap: number;
  readonly output: number;
  readonly input: number;
}

/**
 * Most pixels of an image, and most products of its channels' pairs, that an invocation takes as a whole: both are
 * unrolled.
 */
export const mostPixels = 16;
export const mostMeetings = 32;

type Size = readonly [number, number];

/**
 * All products of an image, tap by tap; `sourceOf` tells the row or column of the input that an output takes under a
 * tap.
 */
export function meetings(
  taps: Size,
  outputs: Size,
  inputs: Size,
  sourceOf: (axis: 0 | 1, output: number, tap: number) => number | undefined,
): Meeting[] {
  const found: Meeting[] = [];
  const along = (axis: 0 | 1, output: number, tap: number): number | undefined => {
    const source = sourceOf(axis, output, tap);
    return source !== undefined && source >= 0 && source < inputs[axis] ? source : undefined;
  };
  for (let tap = 0; tap < taps[0] * taps[1]; tap++) {
    for (let output = 0; output < outputs[0] * outputs[1]; output++) {
      const h = along(0, Math.floor(output / outputs[1]), Math.floor(tap / taps[1]));
      const w = along(1, output % outputs[1], tap % taps[1]);
      if (h !== undefined && w !== undefined) found.push({ tap, output, input: h * inputs[1] + w });
    }
  }
  return found;
}

export const isSmall = (...sizes: readonly Size[]): boolean =>
  sizes.every(([height, width]) => height * width <= mostPixels);

/**
 * On the CPU only: a GPU has few images to give to its lanes there, and stages operands through workgroup memory
 * instead.
 */
export const suitsDevice = (device: KernelDevice): boolean => device.software && device.plainCompiler !== true;

/** A tile of all outputs of an image, or of all taps, by 16 rows. */
export const imagesTile = (columns: number, device: KernelDevice): Tile => ({
  rows: 16,
  columns,
  lanes: 8,
  share: shareOf(device),
});

/** Candidates of the same columns. */
export const imagesTiles = (start: KernelChoice, { image }: TuningProblem, device: KernelDevice): KernelChoice[] =>
  registerTiles(start, [image ?? start.columns], device);

/**
 * Text that loads the numbers `wanted` of those that begin at `from` into an array: as vec4 where three of four are
 * wanted.
 */
export function loads(wanted: ReadonlySet<number>, fours: boolean, array: string, read: string, from: string): string {
  const lines: string[] = [];
  for (let four = 0; four < mostPixels; four += 4) {
    const some = [0, 1, 2, 3].map((part) => four + part).filter((at) => wanted.has(at));
    if (fours && some.length > 2) {
      lines.push(`let ${read}${four} = ${read}Four(${from} + ${four}u);`);
      lines.push(...some.map((at) => `${array}[${at}] = ${read}${four}[${at - four}];`));
    } else {
      lines.push(...some.map((at) => `${array}[${at}] = ${read}One(${from} + ${at}u);`));
    }
  }
  return `    ${lines.join('\n    ')}\n`;
}

/**
 * Statements, `by` of each meeting a group that shares the broadcast of a loaded number, in the order in which the
 * numbers come.
 */
export function products(
  found: readonly Meeting[],
  by: (meeting: Meeting) => number,
  sumOf: (meeting: Meeting) => number,
): string {
  const lines: string[] = [];
  for (const shared of [...new Set(found.map(by))].sort((left, right) => left - right)) {
    lines.push(`let value${shared} = broadcast(left[g][${shared}], lane, i);`);
    for (const meeting of found) {
      if (by(meeting) === shared)
        lines.push(`acc[g * SG + i][${sumOf(meeting)}] += value${shared} * right[${meeting.input}];`);
    }
  }
  return `        ${lines.join('\n        ')}\n`;
}
