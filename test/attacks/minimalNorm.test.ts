import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackName, AttackNorm, AttackOptions } from '../../src/attacks/index.js';
import { Graph } from '../../src/graph/graph.js';
import { addModel, addStores } from '../../src/nn/definition.js';
import type { HostModel } from '../../src/nn/model.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { lacking, slowly } from '../support/slow.js';
import { expectWithin, median } from './figures.js';
import {
  apart,
  attackFigures,
  attackFixture,
  attackTensors,
  dataFolder,
  onDevice,
  replay,
  testImages,
  testLabels,
  trained,
} from './replay.js';

interface Result {
  readonly set: string;
  readonly images: readonly number[];
  readonly parameters: Readonly<Record<string, number>>;
  readonly norm: 'Linf' | 'L2' | 'L1' | 'L0';
  readonly distance: readonly (number | null)[];
  readonly l2?: readonly number[];
  readonly elastic_net?: readonly number[];
  readonly float32_relative_difference?: readonly (number | null)[];
  /** Images whose boundary FMN starts from. */
  readonly start_images?: readonly number[];
  readonly float64_rounding_relative_difference?: readonly (number | null)[];
  readonly fooled: number;
}
type Results = Readonly<Record<string, Readonly<Record<string, Result>>>>;

/** Each main reference, and our names for its parameters. */
const attacksOf: readonly (readonly [string, AttackName, (p: Result['parameters']) => Record<string, number>])[] = [
  ['deepfool-l2', 'deepfool', (p) => ({ candidates: p['candidates']!, overshoot: p['overshoot']! })],
  ['deepfool-linf', 'deepfool', (p) => ({ candidates: p['candidates']!, overshoot: p['overshoot']! })],
  ['ddn', 'ddn', (p) => ({ gamma: p['gamma']!, initialRadius: p['init_epsilon']! })],
  ...(['fmn-l2', 'fmn-linf', 'fmn-l1'] as const).map(
    (name) =>
      [name, 'fmn', (p: Result['parameters']) => ({ gamma: p['gamma']!, largestStep: p['max_stepsize']! })] as const,
  ),
  [
    'cw-l2',
    'cw',
    (p) => ({ rounds: p['binary_search_steps']!, rate: p['stepsize']!, initialConstant: p['initial_const']! }),
  ],
  ...(['ead-en', 'ead-l1'] as const).map(
    (name) =>
      [
        name,
        'ead',
        (p: Result['parameters']) => ({
          ...{ rounds: p['binary_search_steps']!, initialConstant: p['initial_const']! },
          ...{
            firstStep: p['initial_stepsize']!,
            regularization: p['regularization']!,
            byL1: name === 'ead-l1' ? 1 : 0,
          },
        }),
      ] as const,
  ),
];

const fixture = attackFixture<Results>('minimal-norm');
/** How far runs of the reference code in float32, apart by roundings, lie from its float64, by entry and image. */
const { rows: spread } = attackFixture<{
  readonly rows: Readonly<Record<string, readonly { readonly least: number; readonly most: number }[]>>;
}>('minimal-norm-spread');
/** 1e-3, as the page has it, or as far as some of those runs went in this direction, to three digits. */
const allowedInFloat32 = (entry: string, n: number, off: number): number => {
  const { least, most } = spread[entry]?.[n] ?? { least: 0, most: 0 };
  return Math.max(1e-3, 1.005 * (off < 0 ? -least : most));
};

const fmnFile = attackFigures<{ readonly results: Results }>('fmn')?.results ?? {};
const deepfoolFile = attackFigures<{ readonly results: Results }>('deepfool')?.results ?? {};
const eadFile = attackFigures<{ readonly results: Results }>('ead')?.results ?? {};

/** Other implementations whose distances its page gives a bound for, by attack and network. */
const others = (name: string, model: string): readonly (readonly [string, Result, number])[] => {
  const mlp = model.startsWith('mlp');
  const bounds: Readonly<Record<string, number>> = {
    // so far apart are the distances of both codes in the files
    ...{ 'deepfool-l2.adv_lib': 1e-2, 'deepfool-linf.adv_lib': mlp ? 2e-2 : 4e-2 },
    ...(mlp && {
      ...{ 'fmn-linf.adv_lib': 1e-6, 'fmn-l1.adv_lib': 1e-6, 'fmn-linf.foolbox': 1e-6, 'fmn-l1.foolbox': 1e-6 },
      ...{ 'fmn-l2.start.adv_lib': 1e-6, 'fmn-linf.start.adv_lib': 1e-6, 'fmn-l1.start.adv_lib': 1e-6 },
    }),
  };
  return Object.entries(bounds).flatMap(([other, bound]) => {
    if (other.slice(0, other.lastIndexOf('.')) !== name) return [];
    const key = other.replace('.start.adv_lib', '.adv_lib.start');
    const given = { ...fmnFile, ...deepfoolFile }[key]?.[model];
    return given === undefined ? [] : [[key, given, bound] as const];
  });
};

/** Where a share of the way to another image lies, as FMN's paper has it. */
const wayPoint: Readonly<Record<string, (from: number, to: number, share: number) => number>> = {
  L2: (from, to, share) => (1 - share) * from + share * to,
  Linf: (from, to, share) => from + Math.min(Math.max(to - from, -share), share),
  L1: (from, to, share) => from + Math.sign(to - from) * Math.max(Math.abs(to - from) - (1 - share), 0),
};

/** The boundary on the way from images to others, after ten bisections, in float64. */
function boundary(
  { definition, weights }: HostModel,
  images: Float32Array,
  labels: Int32Array,
  to: Float32Array,
  norm: Result['norm'],
): Float64Array {
  const count = labels.length;
  const size = images.length / count;
  const graph = new Graph();
  const x = graph.input('x', [count, ...definition.input]);
  const network = addModel(graph, definition, x, { stores: addStores(graph, definition) });
  graph.output('logits', network.logits);
  const run = new ReferenceRun(graph);
  for (const [key, tensor] of network.tensors) run.set(tensor, weights.get(key)!.data);
  const at = (shares: readonly number[]): Float64Array =>
    Float64Array.from(images, (pixel, i) => wayPoint[norm]!(pixel, to[i]!, shares[Math.floor(i / size)]!));
  let [low, high] = [labels, labels].map((each, end) => Array.from(each, () => end)) as [number[], number[]];
  for (let round = 0; round < 10; round++) {
    const middle = low.map((share, n) => (share + high[n]!) / 2);
    run.set(x, at(middle));
    run.run();
    const logits = run.get(network.logits);
    const classes = logits.length / count;
    const fools = Array.from(labels, (label, n) => {
      const row = Array.from(logits.subarray(n * classes, (n + 1) * classes));
      return row.indexOf(Math.max(...row)) !== label;
    });
    low = low.map((share, n) => (fools[n]! ? share : middle[n]!));
    high = high.map((share, n) => (fools[n]! ? middle[n]! : share));
  }
  return at(high);
}

const optionsOf = (
  { norm, parameters: p }: Result,
  attack: AttackName,
  parameters: (typeof attacksOf)[number][2],
): Omit<AttackOptions, 'model'> =>
  ({ attack, norm: norm.toLowerCase() as AttackNorm, parameters: parameters(p), steps: p['steps']! }) as Omit<
    AttackOptions,
    'model'
  >;

/** Norms of a perturbation. */
const lengths = (x: Float64Array, clean: Float32Array): Readonly<Record<'l1' | 'l2' | 'linf', number>> => {
  const moves = x.map((pixel, i) => Math.abs(pixel - clean[i]!));
  return { l1: moves.reduce((sum, move) => sum + move, 0), l2: Math.hypot(...moves), linf: Math.max(...moves) };
};

/** Every result, with and without a start. */
const everything = attacksOf.flatMap(([name, attack, parameters]) =>
  [name, ...(attack === 'fmn' ? [`${name}.start`] : [])].flatMap((entry) =>
    Object.entries((entry === name ? fixture : fmnFile)[entry] ?? {}).map(([model, result]) => {
      const own = { ...eadFile[name]?.[model], ...result };
      return { name: entry, attack, parameters, model, result: own };
    }),
  ),
);

describe('attacks for the smallest perturbation equal the reference codes in float64', () => {
  for (const { name, attack, parameters, model, result } of everything) {
    for (const count of [...(model.startsWith('mlp') ? [1] : []), result.images.length]) {
      const slow = count > 1 || !['ddn', 'fmn-linf', 'fmn-l1.start'].includes(name);
      slowly(slow && 'golden', `${name}, ${model}: distances of ${count} images`, 1_800_000, async () => {
        if (dataFolder === '') return lacking('LINBP_DATA');
        const chosen = result.images.slice(0, count);
        const [images, labels] = [await testImages(result.set, chosen), await testLabels(result.set, chosen)];
        const network = await trained(model);
        const to = result.start_images && (await testImages(result.set, result.start_images.slice(0, count)));
        const begin = to && boundary(network as HostModel, images, labels, to, result.norm);
        let found: Float64Array = new Float64Array(0);
        let final: Float64Array = new Float64Array(0);
        /** Of the first two images. */
        const iterates: Float64Array[] = [];
        using made = await replay(
          { model: network, ...optionsOf(result, attack, parameters), batch: count },
          () => [],
          (segment, valuesOf) => {
            if (segment === 'step') iterates.push(valuesOf('iterate').subarray(0, 2 * (images.length / count)));
            if (segment !== 'end') return;
            found = valuesOf('distance');
            final = valuesOf('iterate');
          },
          (segment, reference, tensorOf) => {
            if (segment === 'start' && begin !== undefined) reference.set(tensorOf('start')!, begin);
          },
        );
        await made.run({ images, labels, ...(begin && { start: Float32Array.from(begin) }) });
        const size = images.length / count;
        const expected = name === 'ead-en' ? result.elastic_net! : result.distance;
        const sameDistance = (x: Float64Array, n: number): boolean => {
          const far = lengths(x, images.subarray(n * size, (n + 1) * size));
          return Math.abs(far[result.norm.toLowerCase() as 'l1' | 'l2' | 'linf'] / found[n]! - 1) < 1e-9;
        };
        const isFirm = (n: number): boolean => (result.float64_rounding_relative_difference?.[n] ?? 0) < 1e-7;
        const entry = `minimal-norm ${name}.${model}`;
        let compared = 0;
        for (let n = 0; n < count; n++) {
          const message = `image ${chosen[n]}`;
          const wanted = expected[n] ?? undefined;
          // started from the clean image FMN may come to the boundary from inside: then only whether it crosses counts
          if (wanted === undefined) expect(found[n], message).to.be.at.least(1e9);
          if (wanted === undefined || !isFirm(n)) continue;
          compared++;
          expectWithin(`${entry} distance`, Math.abs(found[n]! / wanted - 1), 1e-6, message);
          for (const [key, other, bound] of others(name, model))
            if (n < other.images.length)
              expectWithin(
                `minimal-norm ${key}.${model} distance`,
                Math.abs(found[n]! / other.distance[n]! - 1),
                bound,
                message,
              );
          if (result.l2 === undefined) continue;
          const { l1, l2 } = lengths(final.slice(n * size, (n + 1) * size), images.subarray(n * size, (n + 1) * size));
          for (const [what, mine, theirs] of [
            ['L1', l1, result.distance[n]!],
            ['l2', l2, result.l2[n]!],
            ['elastic_net', l2 ** 2 + result.parameters['regularization']! * l1, result.elastic_net![n]!],
          ] as const)
            expectWithin(`${entry} ${what}`, Math.abs(mine / theirs - 1), 1e-6, message);
        }
        if (name !== 'fmn-l2') expect(compared).to.be.above(0);
        // the first two images are in the file
        const given = attackTensors('minimal-norm')?.(`${name}.${model}.adv`);
        for (let n = 0; n < Math.min(2, count) && given !== undefined; n++) {
          if (expected[n] === null || !isFirm(n)) continue;
          const of = (values: Float64Array): Float64Array => values.subarray(n * size, (n + 1) * size);
          // Where FMN's radius comes back to one that fooled before, rounding decides which image is nearer.
          const equallyFar = attack === 'fmn' ? iterates.map(of).filter((x) => sameDistance(x, n)) : [of(final)];
          const clean = images.subarray(n * size, (n + 1) * size);
          const shares = equallyFar.map((x) => apart(x, of(given), clean, { size, count: 1 })[0]!.share);
          expectWithin(`${entry} adv`, Math.min(...shares), 2e-5, `final image ${chosen[n]}`);
        }
      });
    }
  }
});

describe('attacks for the smallest perturbation of the reference codes on the device', () => {
  for (const { name, attack, parameters, model, result } of everything.filter((each) => !each.name.includes('start'))) {
    slowly(
      'golden',
      `${name}, ${model}: who is fooled, distances that float32 leaves alone, and the median`,
      1_800_000,
      async () => {
        if (dataFolder === '') return lacking('LINBP_DATA');
        const [images, labels] = [
          await testImages(result.set, result.images),
          await testLabels(result.set, result.images),
        ];
        const network = await onDevice(model);
        try {
          const count = result.images.length;
          using made = await Attack.compile({ model: network, ...optionsOf(result, attack, parameters), batch: count });
          await made.run({ images, labels });
          const { executor, attack: built } = await made.executor();
          const found = await executor.read(built.graph.tensors.find((each) => each.name === 'distance')!);
          const expected = name === 'ead-en' ? result.elastic_net! : result.distance;
          const entry = `minimal-norm ${name}.${model}, device`;
          const fooled = found.filter((distance) => distance < 1e9).length;
          // the images that FMN brings to the boundary from inside cross it or not by rounding
          expectWithin(`${entry} fooled`, Math.abs(fooled - result.fooled), name === 'fmn-l2' ? 1 : 0, 'images');
          for (let n = 0; n < count; n++) {
            const moved = result.float32_relative_difference?.[n] ?? 1;
            if (moved >= 1e-4 || found[n]! >= 1e9) continue;
            const off = found[n]! / expected[n]! - 1;
            const allowed = allowedInFloat32(`${name}.${model}`, n, off);
            expectWithin(`${entry} distance`, Math.abs(off), allowed, `image ${result.images[n]}`);
          }
          const both = Array.from(expected, (each, n) => [each, found[n]!] as const).filter(
            (each): each is readonly [number, number] => each[0] !== null && each[1] < 1e9,
          );
          if (both.length < 2) return;
          const [theirs, mine] = [0, 1].map((k) => median(both.map((each) => each[k]!))) as [number, number];
          const bound = model === 'resnet20' ? 0.05 : 0.02;
          expectWithin(`${entry} median`, Math.abs(mine / theirs - 1), bound, 'median');
        } finally {
          network.destroy();
        }
      },
    );
  }
});
