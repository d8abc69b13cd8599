import { expect } from 'chai';
import { projectOnHyperplane } from '../../src/attacks/hyperplane.js';
import type { AttackNorm } from '../../src/attacks/index.js';
import { projectOnL1 } from '../../src/attacks/sparse.js';
import type { StageContext } from '../../src/attacks/stages.js';
import { Graph } from '../../src/graph/graph.js';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { normals } from '../../src/random/philox.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { compareGraph } from '../support/compare.js';
import { lacking, slowly } from '../support/slow.js';
import { expectWithin, largestDifference } from './figures.js';
import { apart, attackFixture, attackTensors, dataFolder, replay, testImages, testLabels, trained } from './replay.js';

interface Run {
  readonly model: string;
  readonly set: string;
  readonly images: readonly number[];
  readonly norm: 'Linf' | 'L2' | 'L1';
  readonly iterations: number;
  readonly untargeted: readonly (number | null)[];
  readonly targeted: readonly (readonly (number | null)[])[];
  readonly 'relative_change_when_weights_are_perturbed_by_3e-16': readonly number[];
}

const runs = attackFixture<Readonly<Record<string, Run>>>('fab');
const projections = attackFixture<Readonly<Record<string, readonly number[]>>>('projections');
const [rows, columns] = [16, 60] as const;
const formula = (key: string): Float64Array => formulaUniforms(`proj.a.${key}`, rows * columns);

describe('attacks: projections of the official code', () => {
  const x = formula('x');
  const zero = formula('zero');
  const w = formula('w').map((u, i) => (zero[i]! < 0.1 ? 0 : 2 * u - 1));

  for (const norm of ['Linf', 'L2', 'L1'] as const) {
    it(`on a hyperplane inside the box, ${norm}, also where the box does not reach it; on the device`, async () => {
      const graph = new Graph();
      const [point, normal, c] = [
        graph.input('x', [rows, columns]),
        graph.input('w', [rows, columns]),
        graph.input('c', [rows]),
      ];
      const stage = { graph, norm: norm.toLowerCase() as AttackNorm };
      const d = projectOnHyperplane(stage, point, normal, c);
      graph.output('d', d);
      const run = new ReferenceRun(graph);
      run.set(point, x);
      run.set(normal, w);
      run.set(
        c,
        projections['t']!.map((t) => -t),
      );
      run.run();
      const expected = projections[`d.${norm}`]!;
      expectWithin(`projections d.${norm}`, largestDifference(run.get(d), expected), 1e-9, 'entries');
      const feeds = new Map([
        [point, Float32Array.from(x)],
        [normal, Float32Array.from(w)],
        [c, Float32Array.from(projections['t']!, (t) => -t)],
      ]);
      for (const { error } of await compareGraph(graph, feeds))
        expectWithin(`projections d.${norm}, device`, error, 1e-5, 'relative 2-norm');
    });
  }

  for (const norm of ['Linf', 'L2', 'L1'] as const) {
    const still = norm === 'Linf' ? [3] : [2, 3];
    it(`out of reach: pixels ${still.join()} of slopes 3, -2, 5e-9, 0 stay, ${norm}, at any scale below`, async () => {
      const graph = new Graph();
      const [point, normal, c] = [graph.input('x', [2, 4]), graph.input('w', [2, 4]), graph.input('c', [2])];
      const d = projectOnHyperplane({ graph, norm: norm.toLowerCase() as AttackNorm }, point, normal, c);
      graph.output('d', d);
      const slopes = [3, -2, 5e-9, 0];
      // with slopes below 1 their size counts, not 1e-8
      const small = 2 ** -40;
      const feeds = new Map([
        [point, Float32Array.from([...slopes, ...slopes], () => 0.25)],
        [normal, Float32Array.from([...slopes, ...[1, -0.5, 5e-9, 1e-7].map((slope) => slope * small)])],
        [c, Float32Array.of(-100, -100 * small)],
      ]);
      const run = new ReferenceRun(graph);
      for (const [tensor, values] of feeds) run.set(tensor, values);
      run.run();
      const way = [0.75, -0.25, 0.75, 0.75];
      expect([...run.get(d)]).to.deep.equal([
        ...way.map((value, i) => (still.includes(i) ? 0 : value)),
        ...way.map((value, i) => (i === 2 && norm !== 'Linf' ? 0 : value)),
      ]);
      for (const { error } of await compareGraph(graph, feeds)) expect(error).to.be.at.most(1e-5);
    });
  }

  for (const radius of [1, 4, 12]) {
    it(`on the L1 ball of radius ${radius} inside the box; on the device, too`, async () => {
      const graph = new Graph();
      const [point, clean] = [graph.input('v', [rows, columns]), graph.input('x', [rows, columns])];
      const z = projectOnL1({ graph, clean } as StageContext, point, radius);
      graph.output('z', z);
      const v = formula('y').map((u, i) => x[i]! + (2 * u - 1) / 2);
      const run = new ReferenceRun(graph);
      run.set(point, v);
      run.set(clean, x);
      run.run();
      const expected = projections[`l1ball.${radius}`]!;
      const moves = Float64Array.from(run.get(z), (value, i) => value - x[i]!);
      expectWithin(`projections l1ball.${radius}`, largestDifference(moves, expected), 1e-9, 'entries');
      const feeds = new Map([
        [point, Float32Array.from(v)],
        [clean, Float32Array.from(x)],
      ]);
      for (const { error } of await compareGraph(graph, feeds))
        expectWithin(`projections l1ball.${radius}, device`, error, 1e-5, 'relative 2-norm');
    });
  }
});

/** Distances that are off by more than 1e-6 and less than `most` have to be outcomes of rounding, of so many runs. */
const [most, outcomes] = [0.05, 40] as const;

/** By entry, image of the list and class by rank: the distances of the official formulas under roundings. */
const { entries: reference } = attackFixture<{
  readonly entries: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>>>;
}>('fab-outcomes');

describe('attacks: FAB equals the official code in float64', () => {
  for (const [name, run] of Object.entries(runs)) {
    for (const [count, targets, slow] of [
      [1, 2, name.startsWith('mlp') ? name !== 'mlp.L2' : 'golden'],
      [run.images.length, 9, 'golden'],
    ] as const) {
      const title = `${name}: distances of ${count} images, to the nearest after each step and to ${targets} classes`;
      slowly(slow, title, 1_800_000, async () => {
        if (dataFolder === '') return lacking('LINBP_DATA');
        const chosen = run.images.slice(0, count);
        const [images, labels] = [await testImages(run.set, chosen), await testLabels(run.set, chosen)];
        const common = {
          model: await trained(run.model),
          norm: run.norm.toLowerCase() as AttackNorm,
          steps: run.iterations,
          batch: count,
        };
        const input = { images, labels };
        const nearest = { ...common, attack: 'fab' } as const;
        const ranked = { ...common, attack: 'fab-t', parameters: { targets } } as const;
        const { distances, adversarial } = await stepDistances(nearest, input);
        const byRank = await rankDistances(ranked, input);
        expect(byRank).to.have.length(targets);
        const tensors = attackTensors('fab');
        const each = tensors?.(`${name}.best_distance`);
        // the first four images are in the file
        const theirs = tensors?.(`${name}.adv`);
        const sizes = { size: images.length / count, count: Math.min(4, count) };
        const shares = theirs && apart(adversarial, theirs, images, sizes);
        const sure = chosen.flatMap((_, n) =>
          run['relative_change_when_weights_are_perturbed_by_3e-16'][n]! > 1e-7 ? [] : [n],
        );
        for (const n of sure) {
          expectDistance(`fab ${name}.untargeted`, distances.at(-1)![n]!, run.untargeted[n], `image ${chosen[n]}`);
          if (shares !== undefined && n < 4 && distances.at(-1)![n]! < 1e9)
            expectWithin(`fab ${name}.adv`, shares[n]!.share, 1e-6, `image ${chosen[n]}`);
        }
        await expectOutcomes(`fab ${name}.targeted`, input, sure, {
          found: byRank,
          outcomes: reference[name] ?? {},
          expected: (rank, n) => run.targeted[n]![rank],
          again: (one, seed) => rankDistances({ ...ranked, batch: 1 }, one, seed),
        });
        if (each === undefined) return;
        await expectOutcomes(`fab ${name}.best_distance`, input, sure, {
          // the last step is not in the file
          found: distances.slice(0, -1),
          outcomes: {},
          expected: (step, n) => each[step * run.images.length + n],
          again: async (one, seed) => (await stepDistances({ ...nearest, batch: 1 }, one, seed)).distances,
        });
      });
    }
  }
});

/** Relative deviation of a distance. Those beyond any image stand for none. */
function deviation(found: number, expected: number | null | undefined): number {
  if (expected === null || expected === undefined || expected < 0) return found > 1e9 ? 0 : Infinity;
  return Math.abs(found / expected - 1);
}

const expectDistance = (entry: string, found: number, expected: number | null | undefined, message: string): void =>
  expectWithin(entry, deviation(found, expected), 1e-6, `${message}: found ${found}`);

interface Input {
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** Distances of images at each of several steps or classes. */
interface Series {
  readonly found: readonly Float64Array[];
  readonly expected: (index: number, n: number) => number | null | undefined;
  /** By image and index: other outcomes of the official formulas, where weights are off by a rounding. */
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  /** The same of one image whose network's weights are off by a rounding. */
  readonly again: (one: Input, seed: number) => Promise<readonly Float64Array[]>;
}

/**
 * Expects the distances of `sure` images within 1e-6. The file says of the last step and the nearest class only how far
 * rounding moves them; what it holds besides is one outcome. So a distance that is off has to be that of the official
 * formulas in a run whose weights are off by a rounding, or the file's that of such a run here; and at most a tenth may
 * be off.
 */
async function expectOutcomes(entry: string, input: Input, sure: readonly number[], series: Series): Promise<void> {
  const size = input.images.length / input.labels.length;
  let off = 0;
  for (const n of sure) {
    const left = new Set<number>();
    const known = (index: number): readonly number[] => series.outcomes[n]?.[index] ?? [];
    for (const [index, found] of series.found.entries()) {
      const deviates = deviation(found[n]!, series.expected(index, n));
      if (deviates > 1e-6 && deviates < most) {
        off += 1;
        if (!known(index).some((outcome) => deviation(found[n]!, outcome) <= 1e-6)) left.add(index);
      } else expectWithin(entry, deviates, 1e-6, `image ${n} of the list, ${index}: found ${found[n]}`);
    }
    const one = { images: input.images.slice(n * size, (n + 1) * size), labels: input.labels.slice(n, n + 1) };
    for (let seed = 1; seed <= outcomes && left.size > 0; seed++) {
      const found = await series.again(one, seed);
      for (const index of left) if (deviation(found[index]![0]!, series.expected(index, n)) <= 1e-6) left.delete(index);
    }
    expectWithin(`${entry} that no outcome gives`, left.size, 0, `image ${n} of the list: ${[...left].join()}`);
  }
  expect(off, entry).to.be.at.most(0.1 * sure.length * series.found.length);
}

/** Sets a network's weights off by a rounding, times 1 + 3e-16 of a standard normal, before the first segment. */
function roundedWeights(seed: number | undefined): Parameters<typeof replay>[3] {
  let pending = seed !== undefined;
  return (_, reference, tensorOf) => {
    if (!pending) return;
    pending = false;
    const parameters = tensorOf('parameters')!;
    const values = Float64Array.from(reference.get(parameters));
    const noise = normals(seed!, 0, 0, 0, values.length);
    reference.set(
      parameters,
      values.map((value, i) => value * (1 + 3e-16 * noise[i]!)),
    );
  };
}

/** Distances to the nearest class after each step in float64, [steps][images], and the images found. */
async function stepDistances(
  options: Parameters<typeof replay>[0],
  input: Input,
  seed?: number,
): Promise<{ distances: Float64Array[]; adversarial: Float64Array }> {
  const distances: Float64Array[] = [];
  let adversarial = new Float64Array(0);
  using attack = await replay(
    options,
    () => [],
    (segment, valuesOf) => {
      if (segment === 'move') distances.push(valuesOf('distance'));
      if (segment === 'end') adversarial = new Float64Array(valuesOf('iterate'));
    },
    roundedWeights(seed),
  );
  await attack.run(input);
  return { distances, adversarial };
}

/** Distances to each class in float64, [targets][images]. */
async function rankDistances(
  options: Parameters<typeof replay>[0],
  input: Input,
  seed?: number,
): Promise<Float64Array[]> {
  const found: Float64Array[] = [];
  let last: Float64Array = new Float64Array(0);
  using attack = await replay(
    options,
    () => [],
    (segment, valuesOf) => {
      if (segment === 'move') last = valuesOf('rankDistance');
      if (segment === 'end' || (segment === 'from' && last.length > 0)) found.push(last);
    },
    roundedWeights(seed),
  );
  await attack.run(input);
  return found;
}
