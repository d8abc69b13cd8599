import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';
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

const uniformBit = (name: string): string =>
  `select(-1.0, 1.0, fract(floor(${name} * exp2(channel + 1.0)) * 0.5) > 0.25)`;
const bitOf = (u: number, channel: number): number => (Math.floor(u * 2 ** (channel + 1)) % 2 === 1 ? 1 : -1);

/** Where a pixel is: element i of a sample is pixel (row, column) of a channel. */
interface Geometry {
  readonly stage: StageContext;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** [N, C, H, W]: the number of the element within its sample. */
  readonly place: Tensor;
}

const windowPrelude = (rows: string, columns: string, name: string): string => `
  let ${name}Top = floor(${rows} * (height - side));
  let ${name}Left = floor(${columns} * (width - side));
  let ${name} = row >= ${name}Top && row < ${name}Top + side && column >= ${name}Left && column < ${name}Left + side;`;

const placePrelude = `  let channel = floor(place / (height * width));
  let inChannel = place - channel * height * width;
  let row = floor(inChannel / width);
  let column = inChannel - row * width;`;

function at(place: number, height: number, width: number): { channel: number; row: number; column: number } {
  const channel = Math.floor(place / (height * width));
  const rest = place - channel * height * width;
  return { channel, row: Math.floor(rest / width), column: rest % width };
}

const inside = (
  row: number,
  column: number,
  u: number,
  v: number,
  height: number,
  width: number,
  side: number,
): boolean => {
  const [top, left] = [Math.floor(u * (height - side)), Math.floor(v * (width - side))];
  return row >= top && row < top + side && column >= left && column < left + side;
};

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

/** What is accepted: a smaller lead of the label, or any image that fools. */
const accept: ElementwiseFunction = {
  name: 'accept',
  inputs: ['lead', 'queries', 'fooled', 'margin'],
  scalars: ['direction', 'start'],
  prelude: `  let own = -direction * margin;
  let live = fooled < 0.5;
  let better = live && (start > 0.5 || own < lead || own <= 0.0);`,
  results: [
    'select(lead, own, better)',
    'queries + select(0.0, 1.0, live)',
    'select(fooled, 1.0, live && own <= 0.0)',
    'select(0.0, 1.0, better)',
  ],
  reference: (lead, queries, fooled, margin, direction, start) => {
    const own = -direction! * margin!;
    const live = fooled! < 0.5;
    const better = live && (start! > 0.5 || own < lead! || own <= 0);
    return [better ? own : lead!, queries! + Number(live), live && own <= 0 ? 1 : fooled!, Number(better)];
  },
};

const keepBetter: ElementwiseFunction = {
  name: 'keepProposal',
  inputs: ['best', 'x', 'better'],
  scalars: [],
  results: ['select(best, x, better > 0.5)'],
  reference: (best, x, better) => [better! > 0.5 ? x! : best!],
};

const draws = 8;
/** The counter of the k-th number that a query draws. */
const draw = (k: number): StepValue => ({ step: `draw${k}` as string });

/** Copies a value of each of N x C x 1 rows over the rows below it, or a value of each sample over its channels. */
function spread(
  stage: StageContext,
  small: Tensor,
  matrix: readonly (readonly number[])[],
  axis: 'rows' | 'columns',
): Tensor {
  const { graph } = stage;
  const shape = [1, matrix.length, matrix[0]!.length];
  const constant = graph.constant(`spread ${axis} ${matrix.length} ${matrix[0]!.length}`, matrix.flat(), shape);
  return graph.one('axisMap', [small, constant], { axis, transposed: false });
}

/** Judges a proposal by the network and keeps it where it is accepted. */
function judge(stage: StageContext, iterate: Tensor, proposal: Tensor, start: number): void {
  const { graph } = stage;
  const samples = [iterate.shape[0]!];
  const { logits } = stage.forward(proposal);
  const margin = graph.one('loss', [logits, stage.aims], { kind: 'margin' });
  const states = [stage.state('lead', samples), stage.state('queries', samples), stage.state('fooled', samples)];
  const [better] = graph.add('map', [...states, margin], {
    fn: accept,
    scalars: [stage.direction, start],
    targets: [0, 1, 2, 'new'],
  });
  graph.add('map', [iterate, proposal, better!], { fn: keepBetter, scalars: [], targets: [0] });
}

function geometryOf(stage: StageContext): Geometry {
  const [batch, channels, height, width] = stage.clean.shape as [number, number, number, number];
  const size = channels * height * width;
  const numbers = Array.from({ length: batch * size }, (_, i) => i % size);
  return { stage, height, width, channels, place: stage.graph.constant('place', numbers, stage.clean.shape) };
}

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

/*
 * L2: a window gets a bump (two halves of opposite sign, each falling from its middle with the square of the distance)
 * and the energy of another window, which is emptied.
 */

/** Sum of 1/k^2 for k from `ring` + 1 to `rings`, for a bump of `rows` x `columns`. */
function bumpValue(row: number, column: number, rows: number, columns: number): number {
  const [r, c] = [Math.floor(rows / 2), Math.floor(columns / 2)];
  const rings = Math.max(r + 1, c + 1);
  let sum = 0;
  for (let k = 0; k < rings; k++) {
    // Ring k covers 2k + 1 rows and columns from its corner on, which begins at the middle and moves outwards.
    const [top, left] = [r - k, c - k];
    const covers = (value: number, from: number, size: number): boolean =>
      value >= Math.max(from, 0) && value < Math.min(from + 2 * k + 1, size);
    if (covers(row, top, rows) && covers(column, left, columns)) sum += 1 / (k + 1) ** 2;
  }
  return sum;
}

/** The bump of an odd or even side, with norm 1: [side][side]. */
export function bump(side: number): number[][] {
  const half = (rows: number): number[][] => {
    const values = Array.from({ length: rows }, (_, row) =>
      Array.from({ length: side }, (_value, column) => bumpValue(row, column, rows, side)),
    );
    const length = Math.sqrt(values.flat().reduce((sum, value) => sum + value * value, 0));
    return values.map((line) => line.map((value) => value / length));
  };
  const upper = half(Math.floor(side / 2));
  const lower = half(side - Math.floor(side / 2)).map((line) => line.map((value) => -value));
  const all = [...upper, ...lower];
  const length = Math.sqrt(all.flat().reduce((sum, value) => sum + value * value, 0));
  return all.map((line) => line.map((value) => value / length));
}

/** The perturbation inside the first window, inside one of the two, and all of it. */
const parts: ElementwiseFunction = {
  name: 'windowParts',
  inputs: ['best', 'clean', 'place', 'u', 'v', 'u2', 'v2'],
  scalars: ['side', 'height', 'width'],
  prelude: `${placePrelude}${windowPrelude('u', 'v', 'first')}${windowPrelude('u2', 'v2', 'second')}
  let delta = best - clean;`,
  results: ['select(0.0, delta, first)', 'select(0.0, delta, first || second)', 'delta'],
  reference: (best, clean, place, u, v, u2, v2, side, height, width) => {
    const { row, column } = at(place!, height!, width!);
    const first = inside(row, column, u!, v!, height!, width!, side!);
    const second = inside(row, column, u2!, v2!, height!, width!, side!);
    const delta = best! - clean!;
    return [first ? delta : 0, first || second ? delta : 0, delta];
  },
};

/** Bump plus direction of the old window, inside the first window. */
const lift: ElementwiseFunction = {
  name: 'lift',
  inputs: ['old', 'shape', 'sign', 'length'],
  scalars: [],
  results: ['sign * shape + old / (1e-12 + length)'],
  reference: (old, shape, sign, length) => [sign! * shape! + old! / (1e-12 + length!)],
};

const energy: ElementwiseFunction = {
  name: 'energy',
  inputs: ['whole', 'windows'],
  scalars: ['radius', 'channels'],
  results: ['sqrt(max(radius * radius - whole * whole, 0.0) / channels + windows * windows)'],
  reference: (whole, windows, radius, channels) => [
    Math.sqrt(Math.max(radius! ** 2 - whole! ** 2, 0) / channels! + windows! ** 2),
  ],
};

const signOf: ElementwiseFunction = {
  name: 'signOf',
  inputs: ['u'],
  scalars: [],
  results: ['sign(2.0 * u - 1.0)'],
  reference: (u) => [Math.sign(2 * u! - 1)],
};

const rescale: ElementwiseFunction = {
  name: 'rescale',
  inputs: ['x', 'length', 'target'],
  scalars: [],
  results: ['x / (1e-12 + length) * target'],
  reference: (x, length, target) => [(x! / (1e-12 + length!)) * target!],
};

const compose: ElementwiseFunction = {
  name: 'compose',
  inputs: ['delta', 'windows', 'fresh'],
  scalars: [],
  results: ['delta - windows + fresh'],
  reference: (delta, windows, fresh) => [delta! - windows! + fresh!],
};

const onSphere: ElementwiseFunction = {
  name: 'onSphere',
  inputs: ['delta', 'clean', 'length'],
  scalars: ['radius'],
  results: ['clamp(clean + delta / (1e-12 + length) * radius, 0.0, 1.0)'],
  reference: (delta, clean, length, radius) => [
    Math.min(Math.max(clean! + (delta! / (1e-12 + length!)) * radius!, 0), 1),
  ],
};

const pick: ElementwiseFunction = {
  name: 'pickTile',
  inputs: ['upright', 'across', 'turn', 'u'],
  scalars: [],
  results: ['sign(2.0 * u - 1.0) * select(upright, across, turn > 0.5)'],
  reference: (upright, across, turn, u) => [Math.sign(2 * u! - 1) * (turn! > 0.5 ? across! : upright!)],
};

/** Where in the table of bumps a pixel of the window lies, across where the bump is turned; far outside elsewhere. */
const tablePlace: ElementwiseFunction = {
  name: 'tablePlace',
  inputs: ['place', 'u', 'v', 'turn'],
  scalars: ['side', 'first', 'height', 'width'],
  prelude: `${placePrelude}${windowPrelude('u', 'v', 'inWindow')}
  let turned = turn > 0.5;
  let down = row - inWindowTop;
  let right = column - inWindowLeft;`,
  results: [
    'select(-10.0, first + select(down, right, turned), inWindow)',
    'select(-10.0, select(right, down, turned), inWindow)',
  ],
  reference: (place, u, v, turn, side, first, height, width) => {
    const { row, column } = at(place!, height!, width!);
    if (!inside(row, column, u!, v!, height!, width!, side!)) return [-10, -10];
    const [down, right] = [row - Math.floor(u! * (height! - side!)), column - Math.floor(v! * (width! - side!))];
    return turn! > 0.5 ? [first! + right, down] : [first! + down, right];
  },
};

/** Sides that windows have in an attack on images of a size, and where each one's bump begins in the table. */
function tableOf(
  height: number,
  width: number,
): { readonly firsts: ReadonlyMap<number, number>; readonly rows: number[][] } {
  const most = Math.min(height, width);
  const rows: number[][] = [];
  const firsts = new Map<number, number>();
  // Every odd side: the share is an option, and the sides that it leads to are data of the step table.
  for (let side = 3; side <= most; side += 2) {
    firsts.set(side, rows.length);
    rows.push(...bump(side).map((line) => [...line, ...Array.from({ length: most - side }, () => 0)]));
  }
  return { firsts, rows };
}

/** A tensor [N, 1, ...] as [N, C, ...]. */
function overChannels(stage: StageContext, x: Tensor, channels: number): Tensor {
  const ones = stage.graph.constant(
    'ones',
    Array.from({ length: channels }, () => 1),
    [channels, 1, 1, 1],
  );
  const still = { stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1], groups: 1 } as const;
  return channels === 1 ? x : stage.graph.one('conv2d', [x, ones], still);
}

function buildBumps(stage: StageContext, iterate: Tensor, geometry: Geometry): void {
  const { graph, clean, radius, segment } = stage;
  const { place, height, width, channels } = geometry;
  const batch = clean.shape[0]!;
  const length = (x: Tensor): Tensor => graph.one('sampleNorm', [x], { norm: 'l2' });
  const scaled = (delta: Tensor): Tensor => elementwiseMap(graph, onSphere, [delta, clean, length(delta)], [radius]);
  segment('start', () => judge(stage, iterate, scaled(tiles(stage, geometry)), 1));
  const { rows } = tableOf(height, width);
  const most = rows[0]!.length;
  const table = graph.constant('bumps', Array.from({ length: batch }, () => rows.flat()).flat(), [
    batch,
    1,
    rows.length,
    most,
  ]);
  const flatPlace = graph.constant(
    'pixel',
    Array.from({ length: batch * height * width }, (_, i) => i % (height * width)),
    [batch, 1, height, width],
  );
  segment('query', () => {
    const uniform = (k: number): Tensor => stage.random([batch], 'uniform', draw(k));
    const [u, v, u2, v2, turn] = [0, 1, 2, 3, 4].map(uniform) as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const signs = graph.one('reshape', [stage.random([batch, channels], 'uniform', draw(5))], {
      shape: [batch * channels],
    });
    const size = [{ step: 'side' }, height, width];
    const [inFirst, windows, delta] = graph.add('map', [iterate, clean, place, u, v, u2, v2], {
      fn: parts,
      scalars: size,
      targets: ['new', 'new', 'new'],
    }) as [Tensor, Tensor, Tensor];
    const [down, right] = graph.add('map', [flatPlace, u, v, turn], {
      fn: tablePlace,
      scalars: [{ step: 'side' }, { step: 'firstRow' }, height, width],
      targets: ['new', 'new'],
    }) as [Tensor, Tensor];
    const grid = graph.one('concat', [down, right], {});
    const shape = overChannels(
      stage,
      graph.one('gridSample', [table, grid], { mode: 'nearest', transposed: false, size: [rows.length, most] }),
      channels,
    );
    const byChannel = (x: Tensor): Tensor => graph.one('reshape', [x], { shape: [batch * channels, height * width] });
    const old = byChannel(inFirst);
    const raised = elementwiseMap(graph, lift, [
      old,
      byChannel(shape),
      elementwiseMap(graph, signOf, [signs]),
      length(old),
    ]);
    const inWindow = elementwiseMap(graph, maskBy, [raised, byChannel(shape)]);
    const part = elementwiseMap(graph, energy, [length(delta), length(windows)], [radius, channels]);
    const ones = graph.constant(
      'channelOnes',
      Array.from({ length: channels }, () => 1),
      [channels, 1],
    );
    const parted = graph.one(
      'reshape',
      [graph.one('linear', [graph.one('reshape', [part], { shape: [batch, 1] }), ones], {})],
      {
        shape: [batch * channels],
      },
    );
    const fresh = elementwiseMap(graph, rescale, [inWindow, length(inWindow), parted]);
    const whole = graph.one('reshape', [fresh], { shape: clean.shape });
    judge(stage, iterate, scaled(elementwiseMap(graph, compose, [delta, windows, whole])), 0);
  });
}

/** Nothing outside the window; a bump has no zeros inside. */
const maskBy: ElementwiseFunction = {
  name: 'maskBy',
  inputs: ['x', 'shape'],
  scalars: [],
  results: ['select(x, 0.0, shape == 0.0)'],
  reference: (x, shape) => [shape === 0 ? 0 : x!],
};

/** The start: five by five bumps, each turned and signed at random. */
function tiles(stage: StageContext, { height, width, channels }: Geometry): Tensor {
  const { graph, clean } = stage;
  const batch = clean.shape[0]!;
  const side = Math.floor(Math.min(height, width) / 5);
  const first = Math.floor((height - 5 * side) / 2);
  const shape = side < 2 ? Array.from({ length: side }, () => [1]) : bump(side);
  const tile = (pixel: number): number => Math.floor((pixel - first) / side);
  const within = (pixel: number): number => (pixel - first) % side;
  const valueAt = (row: number, column: number, turned: boolean): number => {
    const covered = [row, column].every((pixel) => pixel >= first && tile(pixel) < 5);
    if (!covered || side === 0) return 0;
    return turned ? shape[within(column)]![within(row)]! : shape[within(row)]![within(column)]!;
  };
  const everywhere = (turned: boolean): number[] =>
    Array.from({ length: batch * channels * height * width }, (_, i) =>
      valueAt(Math.floor(i / width) % height, i % width, turned),
    );
  const [upright, across] = [false, true].map((turned) =>
    graph.constant(`tiles ${String(turned)}`, everywhere(turned), clean.shape),
  ) as [Tensor, Tensor];
  const belongs = (pixels: number): number[][] =>
    Array.from({ length: pixels }, (_, pixel) =>
      [0, 1, 2, 3, 4].map((k) => Number(pixel >= first && tile(pixel) === k)),
    );
  const enlarged = (x: Tensor): Tensor =>
    spread(stage, spread(stage, x, belongs(height), 'rows'), belongs(width), 'columns');
  const turn = overChannels(stage, enlarged(stage.random([batch, 1, 5, 5], 'uniform', draw(0))), channels);
  const signs = enlarged(stage.random([batch, channels, 5, 5], 'uniform', draw(1)));
  return elementwiseMap(graph, pick, [upright, across, turn, signs]);
}

function phases(settings: PlanSettings): Phase[] {
  const { steps, norm, pixels } = settings;
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
  phases,
  cost: ({ steps }) => ({ gradients: 0, forwards: steps + 1 }),
};
