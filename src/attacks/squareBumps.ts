import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { at, draw, inside, judge, placePrelude, spread, windowPrelude } from './squareWindow.js';
import type { Geometry } from './squareWindow.js';
import { elementwiseMap } from './stages.js';
import type { StageContext } from './stages.js';

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
export function tableOf(
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

/** The bumps of all sides, and the place of each pixel of a channel: [N, 1, ...] each. */
interface Bumps {
  readonly table: Tensor;
  readonly size: readonly [number, number];
  readonly pixel: Tensor;
}

function bumpsOf({ graph, clean }: StageContext, { height, width }: Geometry): Bumps {
  const batch = clean.shape[0]!;
  const { rows } = tableOf(height, width);
  const size = [rows.length, rows[0]!.length] as const;
  const numbers = Array.from({ length: batch }, () => rows.flat()).flat();
  const table = graph.constant('bumps', numbers, [batch, 1, ...size]);
  const places = Array.from({ length: batch * height * width }, (_, i) => i % (height * width));
  return { table, size, pixel: graph.constant('pixel', places, [batch, 1, height, width]) };
}

/** The bump of a query in its window, zero elsewhere, in all channels of the images. */
function bumpInWindow(
  stage: StageContext,
  { table, size, pixel }: Bumps,
  [u, v, turn]: readonly [Tensor, Tensor, Tensor],
  { height, width, channels }: Geometry,
): Tensor {
  const { graph } = stage;
  const [down, right] = graph.add('map', [pixel, u, v, turn], {
    fn: tablePlace,
    scalars: [{ step: 'side' }, { step: 'firstRow' }, height, width],
    targets: ['new', 'new'],
  }) as [Tensor, Tensor];
  const grid = graph.one('concat', [down, right], {});
  return overChannels(
    stage,
    graph.one('gridSample', [table, grid], { mode: 'nearest', transposed: false, size: [...size] }),
    channels,
  );
}

/** The length of a proposal's window in each channel, [N C], of perturbations and of their channels in the windows. */
function energyByChannel({ graph, clean, radius }: StageContext, delta: Tensor, windows: Tensor): Tensor {
  const [batch, channels] = clean.shape as [number, number];
  const length = (x: Tensor): Tensor => graph.one('sampleNorm', [x], { norm: 'l2' });
  const ones = graph.constant(
    'channelOnes',
    Array.from({ length: channels }, () => 1),
    [channels, 1],
  );
  const spreadOut = graph.one('linear', [graph.one('reshape', [length(delta)], { shape: [batch, 1] }), ones], {});
  const whole = graph.one('reshape', [spreadOut], { shape: [batch * channels] });
  return elementwiseMap(graph, energy, [whole, length(windows)], [radius, channels]);
}

/** Emits the segments of Square's form for L2: the start, and a query that moves energy between two windows. */
export function buildBumps(stage: StageContext, iterate: Tensor, geometry: Geometry): void {
  const { graph, clean, radius, segment } = stage;
  const { place, height, width, channels } = geometry;
  const batch = clean.shape[0]!;
  const length = (x: Tensor): Tensor => graph.one('sampleNorm', [x], { norm: 'l2' });
  const scaled = (delta: Tensor): Tensor => elementwiseMap(graph, onSphere, [delta, clean, length(delta)], [radius]);
  segment('start', () => judge(stage, iterate, scaled(tiles(stage, geometry)), 1));
  const bumps = bumpsOf(stage, geometry);
  segment('query', () => {
    const uniform = (k: number): Tensor => stage.random([batch], 'uniform', draw(k));
    const [u, v, u2, v2, turn] = [0, 1, 2, 3, 4].map(uniform) as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const signs = graph.one('reshape', [stage.random([batch, channels], 'uniform', draw(5))], {
      shape: [batch * channels],
    });
    const [inFirst, windows, delta] = graph.add('map', [iterate, clean, place, u, v, u2, v2], {
      fn: parts,
      scalars: [{ step: 'side' }, height, width],
      targets: ['new', 'new', 'new'],
    }) as [Tensor, Tensor, Tensor];
    const shape = bumpInWindow(stage, bumps, [u, v, turn], geometry);
    const byChannel = (x: Tensor): Tensor => graph.one('reshape', [x], { shape: [batch * channels, height * width] });
    const old = byChannel(inFirst);
    const raised = elementwiseMap(graph, lift, [
      old,
      byChannel(shape),
      elementwiseMap(graph, signOf, [signs]),
      length(old),
    ]);
    const inWindow = elementwiseMap(graph, maskBy, [raised, byChannel(shape)]);
    const parted = energyByChannel(stage, delta, byChannel(windows));
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
