import { check } from '../errors.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { buildBumps, tableOf } from './squareBumps.js';
import { at, draw, draws, geometryOf, inside, judge, placePrelude, spread, windowPrelude } from './squareWindow.js';
import type { Geometry } from './squareWindow.js';
import { elementwiseMap } from './stages.js';
import type { AttackPlan, Phase, PlanSettings, StageContext } from './stages.js';

/*
 * Square attack: M. Andriushchenko, F. Croce, N. Flammarion, M. Hein, "Square attack: a query-efficient black-box
 * adversarial attack via random search", ECCV 2020, with the margin loss, in the form of AutoAttack's code. Each image
 * has windows and signs of its own (there a batch shares them), so results do not depend on the batch.
 */

/** The share of an image's pixels that a window has, by query. */
function shareAt(query: number, queries: number, rescaled: boolean, first: number): number {
  const at = rescaled ? Math.floor((query / queries) * 10_000) : query;
  const ends = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];
  const halvings = ends.filter((end) => at > end).length;
  return first / 2 ** halvings;
}

/** Python's rounding, halves to even: windows have the official sizes. */
function roundEven(value: number): number {
  const whole = Math.floor(value);
  if (value - whole !== 0.5) return Math.round(value);
  return whole % 2 === 0 ? whole : whole + 1;
}

/** Side of the window of a query, in pixels. */
function sideAt(query: number, { norm, steps, pixels, parameters }: PlanSettings): number {
  const [, height, width] = pixels;
  const share = shareAt(query, steps, parameters['rescaled'] === 1, parameters['share']!);
  const side = roundEven(Math.sqrt(share * height * width));
  const most = Math.min(height, width);
  if (norm !== 'l2') return Math.min(Math.max(side, 1), most);
  const odd = Math.max(side, 3);
  const even = most % 2 === 0 ? most - 1 : most;
  return Math.min(odd % 2 === 0 ? odd + 1 : odd, even);
}

/** Signs of a window are bits of one uniform number. */
const mostChannels = 24;

const uniformBit = (name: string): string =>
  `select(-1.0, 1.0, fract(floor(${name} * exp2(channel + 1.0)) * 0.5) > 0.25)`;
const bitOf = (u: number, channel: number): number => (Math.floor(u * 2 ** (channel + 1)) % 2 === 1 ? 1 : -1);

/** The window of the best image moved to the edge of the ball, one sign a channel. */
const signWindow: ElementwiseFunction = {
  name: 'signWindow',
  inputs: ['best', 'clean', 'place', 'u', 'v', 'signs'],
  scalars: ['radius', 'side', 'height', 'width'],
  prelude: `${placePrelude}${windowPrelude('u', 'v', 'inWindow')}
  let moved = best + select(0.0, 2.0 * radius * ${uniformBit('signs')}, inWindow);`,
  results: ['clamp(min(max(moved, clean - radius), clean + radius), 0.0, 1.0)'],
  reference: (best, clean, place, u, v, signs, radius, side, height, width) => {
    const { channel, row, column } = at(place!, height!, width!);
    const moved = inside(row, column, u!, v!, height!, width!, side!) ? 2 * radius! * bitOf(signs!, channel) : 0;
    const near = Math.min(Math.max(best! + moved, clean! - radius!), clean! + radius!);
    return [Math.min(Math.max(near, 0), 1)];
  },
};

const stripes: ElementwiseFunction = {
  name: 'stripes',
  inputs: ['clean', 'u'],
  scalars: ['radius'],
  results: ['clamp(clean + radius * sign(2.0 * u - 1.0), 0.0, 1.0)'],
  reference: (clean, u, radius) => [Math.min(Math.max(clean! + radius! * Math.sign(2 * u! - 1), 0), 1)],
};

function build(stage: StageContext, iterate: Tensor): void {
  if (stage.norm === 'linf') buildSigns(stage, iterate, geometryOf(stage));
  else buildBumps(stage, iterate, geometryOf(stage));
}

function buildSigns(stage: StageContext, iterate: Tensor, { place, height, width, channels }: Geometry): void {
  const { clean, radius, segment } = stage;
  const batch = clean.shape[0]!;
  segment('start', () => {
    // one sign for each column of each channel
    const u = stage.random([batch, channels, 1, width], 'uniform', draw(0));
    const rows = spread(
      stage,
      u,
      Array.from({ length: height }, () => [1]),
      'rows',
    );
    judge(stage, iterate, elementwiseMap(stage.graph, stripes, [clean, rows], [radius]), 1);
  });
  segment('query', () => {
    const [u, v, signs] = [0, 1, 2].map((k) => stage.random([batch], 'uniform', draw(k))) as [Tensor, Tensor, Tensor];
    const scalars = [radius, { step: 'side' }, height, width];
    judge(stage, iterate, elementwiseMap(stage.graph, signWindow, [iterate, clean, place, u, v, signs], scalars), 0);
  });
}

function phases(settings: PlanSettings): Phase[] {
  const { steps, norm, pixels } = settings;
  const fits = norm === 'l2' || pixels[0] <= mostChannels;
  check(fits, 'bad-shape', `square in linf takes at most ${mostChannels} channels, got ${pixels[0]}`, 'attack');
  const firsts = norm === 'l2' ? tableOf(pixels[1], pixels[2]).firsts : new Map<number, number>();
  const rows = Array.from({ length: steps + 1 }, (_, query) => ({
    side: query === 0 ? 0 : sideAt(query - 1, settings),
    firstRow: query === 0 || norm !== 'l2' ? 0 : firsts.get(sideAt(query - 1, settings))!,
    ...Object.fromEntries(Array.from({ length: draws }, (_value, k) => [`draw${k}`, draws * query + k])),
  }));
  return [
    { segment: 'start', rows: rows.slice(0, 1) },
    { segment: 'query', rows: rows.slice(1) },
  ];
}

export const squarePlan: AttackPlan = {
  fields: {
    side: 'f32',
    firstRow: 'f32',
    ...Object.fromEntries(Array.from({ length: draws - 2 }, (_, k) => [`draw${k + 2}`, 'u32' as const])),
  },
  build,
  fooled: 'fooled',
  phases,
  cost: ({ steps }) => ({ gradients: 0, forwards: steps + 1 }),
};
