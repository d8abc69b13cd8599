import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { decowa } from './decowa.js';
import { copiesOf, map, sampled } from './transformParts.js';
import { diverseInputs, paddedSide } from './transforms.js';
import type { Parameter, StageContext, Transform } from './stages.js';

/*
 * What the network sees in attacks that transfer: linear maps of the images with random numbers of each image, so
 * results do not depend on the batch. They combine with every gradient, momentum, rule and objective.
 */

const shareOf = (byDefault: number, help: string): Parameter => ({ byDefault, least: 0, most: 1, help });
const blocksOf = (byDefault: number): Parameter => ({
  ...{ byDefault, least: 2, most: 8, whole: true },
  help: 'strips, or blocks along each axis',
});

/** A function of pixels that scales them and adds something; `by` is what the pixels are multiplied by. */
const scaling = (
  name: string,
  inputs: readonly string[],
  scalars: readonly string[],
  [by, plus]: readonly [string, string],
  reference: (values: readonly number[]) => readonly [number, number],
): ElementwiseFunction => ({
  ...{ name, inputs, scalars },
  results: [`x * (${by}) + (${plus})`],
  reference: (...values) => {
    const [factor, rest] = reference(values);
    return [values[0]! * factor + rest];
  },
  derivatives: [
    {
      name: `${name}Gradient`,
      inputs: ['g', ...inputs],
      scalars,
      results: [`select(g * (${by}), x, false)`],
      reference: (g, ...values) => [g! * reference(values)[0]],
    },
  ],
});

const halved = scaling('halved', ['x'], ['copy'], ['exp2(-copy)', '0.0'], ([, copy]) => [2 ** -copy!, 0]);

/** SI: the mean over images divided by 1, 2, 4, ... (J. Lin et al., 2020). */
const si: Transform = {
  name: 'si',
  copies: ({ scales }) => scales!,
  apply: (stage, x, copy) => map(stage, halved, [x], [copy]),
  parameters: { scales: { byDefault: 5, least: 1, most: 20, whole: true, help: 'halvings of the image' } },
};

const mixed = scaling(
  'mixed',
  ['x', 'other'],
  ['strength', 'copy', 'scales'],
  ['exp2(-(copy - scales * floor(copy / scales)))', 'strength * other * exp2(-(copy - scales * floor(copy / scales)))'],
  ([, other, strength, copy, scales]) => [2 ** -(copy! % scales!), strength! * other! * 2 ** -(copy! % scales!)],
);

/**
 * Admix: a share of an image of another class is added, and the sum divided by 1, 2, 4, ... (X. Wang et al., "Admix:
 * enhancing the transferability of adversarial attacks", 2021).
 */
const admix: Transform = {
  name: 'admix',
  copies: ({ admixed, admixScales }) => admixed! * admixScales!,
  draws: ({ admixed }) => admixed!,
  apply(stage, x, copy, draw) {
    const { strength, admixScales } = stage.parameters;
    return map(stage, mixed, [x, stage.partner(draw)], [strength!, copy, admixScales!]);
  },
  parameters: {
    admixed: { byDefault: 3, least: 1, most: 100, whole: true, help: 'images mixed in' },
    admixScales: { byDefault: 5, least: 1, most: 20, whole: true, help: 'halvings of each mixture' },
    strength: shareOf(0.2, 'share of the other image'),
  },
};

/** DI as the LinBP authors have it: random scaling inside a frame, each pixel the nearest (C. Xie et al., 2019). */
const diNearest: Transform = { name: 'di-nearest', apply: (stage, x, _copy, { key }) => diverseInputs(stage, x, key) };

const ifApplied: ElementwiseFunction = {
  name: 'ifApplied',
  inputs: ['x', 'y', 'u'],
  scalars: ['probability'],
  results: ['select(x, y, u < probability)'],
  reference: (x, y, u, probability) => [u! < probability! ? y! : x!],
  derivatives: [
    {
      name: 'ifAppliedBefore',
      inputs: ['g', 'x', 'y', 'u'],
      scalars: ['probability'],
      results: ['select(select(g, 0.0, u < probability), x + y, false)'],
      reference: (g, _x, _y, u, probability) => [u! < probability! ? 0 : g!],
    },
    {
      name: 'ifAppliedAfter',
      inputs: ['g', 'x', 'y', 'u'],
      scalars: ['probability'],
      results: ['select(select(0.0, g, u < probability), x + y, false)'],
      reference: (g, _x, _y, u, probability) => [u! < probability! ? g! : 0],
    },
  ],
};

/** The matrix [to, from] of bilinear resizing with pixel centers at halves, as frameworks have it. */
export function resizeMatrix(from: number, to: number): number[] {
  return Array.from({ length: to * from }, (_, i) => {
    const [row, column] = [Math.floor(i / from), i % from];
    const source = Math.max(((row + 0.5) * from) / to - 0.5, 0);
    const low = Math.min(Math.floor(source), from - 1);
    const high = Math.min(low + 1, from - 1);
    return (column === low ? 1 - (source - low) : 0) + (column === high ? source - low : 0);
  });
}

/** Both axes of images times matrices, [N or 1, A, B]. */
function onBothAxes({ graph }: StageContext, x: Tensor, rows: Tensor, columns: Tensor, transposed = false): Tensor {
  const half = graph.one('axisMap', [x, rows], { axis: 'rows', transposed });
  return graph.one('axisMap', [half, columns], { axis: 'columns', transposed });
}

/**
 * DI, bilinear: in a share of the cases the network sees the image scaled to a random larger side, put at a random
 * place of a frame of zeros, and scaled back (C. Xie et al., 2019).
 */
const di: Transform = {
  name: 'di',
  apply(stage, x, _copy, draw) {
    const { graph } = stage;
    const [batch, , height, width] = x.shape as [number, number, number, number];
    const numbers = draw([batch, 3]);
    const framed = ([height, width] as const).map((side, axis) => {
      const frame = paddedSide(side);
      const field = { kind: 'resize', planes: 1, size: [frame, side], values: [frame, axis] } as const;
      const matrix = graph.one('reshape', [graph.one('sampleField', [numbers], field)], {
        shape: [batch, frame, side],
      });
      const back = graph.constant(`resize ${frame} to ${side}`, resizeMatrix(frame, side), [1, side, frame]);
      return { matrix, back };
    });
    const [rows, columns] = framed as [(typeof framed)[0], (typeof framed)[0]];
    const larger = onBothAxes(stage, x, rows.matrix, columns.matrix);
    const result = onBothAxes(stage, larger, rows.back, columns.back);
    return map(stage, ifApplied, [x, result, draw([batch], 'uniform', 1)], [stage.parameters['probability']!]);
  },
  parameters: { probability: shareOf(0.5, 'share of the images that are scaled') },
};

/** The orthonormal DCT-II matrix of a side. */
export function cosineMatrix(side: number): number[] {
  return Array.from({ length: side * side }, (_, i) => {
    const [k, n] = [Math.floor(i / side), i % side];
    return Math.sqrt((k === 0 ? 1 : 2) / side) * Math.cos((Math.PI * (n + 0.5) * k) / side);
  });
}

const noised = scaling('noised', ['x', 'n'], ['sigma'], ['1.0', 'sigma * n'], ([, n, sigma]) => [1, sigma! * n!]);
const masked = scaling('masked', ['x', 'u'], ['rho'], ['1.0 - rho + 2.0 * rho * u', '0.0'], ([, u, rho]) => [
  1 - rho! + 2 * rho! * u!,
  0,
]);

/**
 * SSA: noise, and a random mask on the spectrum (Y. Long et al., "Frequency domain model augmentation for adversarial
 * attack", 2022). As its code has it, the gradient is taken at the transformed image unless `through` is 1.
 */
const ssa: Transform = {
  name: 'ssa',
  copies: ({ spectra }) => spectra!,
  gradientAt: ({ through }) => (through === 1 ? 'point' : 'result'),
  apply(stage, x, _copy, draw) {
    const { graph, parameters } = stage;
    const matrices = [2, 3].map((axis) => {
      const side = x.shape[axis]!;
      return graph.constant(`cosines ${side}`, cosineMatrix(side), [1, side, side]);
    }) as [Tensor, Tensor];
    const noisy = map(stage, noised, [x, draw(x.shape, 'normal')], [parameters['sigma']!]);
    const spectrum = onBothAxes(stage, noisy, ...matrices);
    const changed = map(stage, masked, [spectrum, draw(x.shape, 'uniform', 1)], [parameters['rho']!]);
    return onBothAxes(stage, changed, ...matrices, true);
  },
  parameters: {
    spectra: copiesOf(20),
    rho: shareOf(0.5, 'how far the mask goes from 1'),
    sigma: { ...shareOf(16 / 255, 'standard deviation of the noise, in pixels') },
    through: { ...shareOf(0, '1 takes the gradient with respect to the image itself'), whole: true },
  },
};

/**
 * BSR: strips along one axis are shuffled, each is rotated, cut along the other axis and shuffled again (K. Wang et
 * al., "Boosting adversarial transferability by block shuffle and rotation", 2024).
 */
const bsr: Transform = {
  name: 'bsr',
  copies: ({ shuffles }) => shuffles!,
  apply(stage, x, _copy, draw) {
    const { strips, angle } = stage.parameters as Record<'strips' | 'angle', number>;
    const numbers = draw([x.shape[0]!, 1 + 3 * strips + 2 * strips * strips]);
    const size = x.shape.slice(2) as [number, number];
    const values = [strips, (angle * Math.PI) / 180];
    return sampled(
      stage,
      x,
      stage.graph.one('sampleField', [numbers], { kind: 'strips', planes: 6, size, values }),
      'bilinear',
    );
  },
  parameters: {
    shuffles: copiesOf(20),
    strips: blocksOf(2),
    angle: { byDefault: 24, least: 0, most: 180, help: 'largest rotation, in degrees' },
  },
};

const blockwise: ElementwiseFunction = {
  name: 'blockwise',
  inputs: ['x', 'factor', 'u'],
  scalars: ['reach'],
  prelude: '  let noisy = clamp(x + (2.0 * u - 1.0) * reach, 0.0, 1.0);',
  results: ['select(x * factor, noisy, factor < 0.0)'],
  reference: (x, factor, u, reach) => [
    factor! < 0 ? Math.min(Math.max(x! + (2 * u! - 1) * reach!, 0), 1) : x! * factor!,
  ],
  derivatives: [
    {
      name: 'blockwiseGradient',
      inputs: ['g', 'x', 'factor', 'u'],
      scalars: ['reach'],
      prelude: '  let v = x + (2.0 * u - 1.0) * reach;',
      results: ['select(g * factor, select(0.0, g, v >= 0.0 && v <= 1.0), factor < 0.0)'],
      reference: (g, x, factor, u, reach) => {
        const v = x! + (2 * u! - 1) * reach!;
        return [factor! < 0 ? (v >= 0 && v <= 1 ? g! : 0) : g! * factor!];
      },
    },
  ],
};

/**
 * SIA: each block of the image is rolled, flipped, dimmed or made noisy (X. Wang et al., "Structure invariant
 * transformation for better adversarial transferability", 2023), by the seven changes of its code.
 */
const sia: Transform = {
  name: 'sia',
  copies: ({ structures }) => structures!,
  apply(stage, x, _copy, draw) {
    const { graph, parameters } = stage;
    const blocks = parameters['blocks']!;
    const numbers = draw([x.shape[0]!, 2 * (blocks - 1) + 2 * blocks * blocks]);
    const size = x.shape.slice(2) as [number, number];
    const field = (kind: 'blocks' | 'blockFactors', planes: number): Tensor =>
      graph.one('sampleField', [numbers], { kind, planes, size, values: [blocks] });
    const moved = sampled(stage, x, field('blocks', 2), 'nearest');
    const noise = draw(x.shape, 'uniform', 1);
    return map(stage, blockwise, [moved, field('blockFactors', x.shape[1]!), noise], [16 / 255]);
  },
  parameters: { structures: copiesOf(20), blocks: blocksOf(3) },
};

/** Random translation by whole pixels, zeros coming in (Y. Dong et al., 2019, without the shortcut of smoothing). */
const shift: Transform = {
  name: 'translate',
  copies: ({ translations }) => translations!,
  apply(stage, x, _copy, draw) {
    const size = x.shape.slice(2) as [number, number];
    const values = [stage.parameters['pixels']!];
    const places = stage.graph.one('sampleField', [draw([x.shape[0]!, 2])], { kind: 'shift', planes: 2, size, values });
    return sampled(stage, x, places, 'nearest');
  },
  parameters: {
    translations: copiesOf(1),
    pixels: { byDefault: 3, least: 0, most: 64, whole: true, help: 'largest translation along each axis' },
  },
};

/** Transforms by the name that the command line gives them. */
export const inputTransforms = {
  di,
  'di-nearest': diNearest,
  si,
  admix,
  ssa,
  bsr,
  sia,
  decowa,
  translate: shift,
} as const satisfies Record<string, Transform>;
