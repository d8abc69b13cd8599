import { Attack, attack } from '../../src/attacks/index.js';
import type { AttackNorm } from '../../src/attacks/index.js';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { addModel, addStores, positionTable } from '../../src/nn/definition.js';
import type { HostModel } from '../../src/nn/model.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { relativeError } from '../support/compare.js';
import { lacking, slowly } from '../support/slow.js';
import { expectAgree, expectWithin, float32Digits, gradientTolerance, median } from './figures.js';
import { attackFigures, attackTensors, dataFolder, onDevice, testImages, testLabels, trained } from './replay.js';

/** Runs a test where the golden files are. */
const golden = (slow: boolean, title: string, body: () => Promise<void>): void =>
  slowly(slow && 'golden', title, 1_800_000, async () => {
    if (dataFolder === '') return lacking('LINBP_DATA');
    await body();
  });

describe('reference values of other codes', () => {
  interface Bpa {
    readonly images: readonly number[];
    readonly labels: readonly number[];
    readonly norms: Readonly<Record<string, readonly number[]>>;
  }

  golden(false, 'bpa-lenet: gradients with the soft ReLU, the soft max-pool, and both, in float64', async () => {
    const [given, tensors] = [attackFigures<Bpa>('bpa-lenet'), attackTensors('bpa-lenet')];
    if (given === undefined || tensors === undefined) return lacking('the golden files beside LINBP_DATA');
    const { definition, weights } = (await trained('lenet5-clntrained')) as HostModel;
    const rules = { 'grad.both': 'bpa:tau=10,from=all', 'grad.relu': 'silu', 'grad.pool': 'bpa:tau=10,from=all+bp' };
    for (const [name, rule] of Object.entries(rules)) {
      const graph = new Graph();
      const x = graph.input('x', [4, ...definition.input]);
      const y = graph.input('y', [4], 'u32');
      const network = addModel(graph, definition, x, { stores: addStores(graph, definition) });
      const loss = graph.one('loss', [network.logits, y], { kind: 'crossEntropy' });
      const selection = resolveRules(parseRules(rule), positionTable(definition));
      const gradient = gradients(graph, { loss, scale: 1, targets: [x], rules: selection }).get(x)!;
      const run = new ReferenceRun(graph);
      for (const [key, tensor] of network.tensors) run.set(tensor, weights.get(key)!.data);
      run.set(x, await testImages('mnist', given.images));
      run.set(y, given.labels);
      run.run();
      const [mine, theirs] = [run.get(gradient), tensors(name)];
      const size = mine.length / 4;
      for (let n = 0; n < 4; n++) {
        const own = mine.slice(n * size, (n + 1) * size);
        const length = given.norms[name]![n]!;
        const off = Math.abs(Math.hypot(...own) / length - 1);
        // the lengths in the file are those of its float32 tensors, as float32
        expectWithin(`bpa-lenet ${name} norm`, off, gradientTolerance(length, 2 * float32Digits), `image ${n}`);
        const apart = relativeError(own, theirs.subarray(n * size, (n + 1) * size));
        expectWithin(`bpa-lenet ${name}`, apart, gradientTolerance(length, float32Digits), `image ${n}`);
      }
    }
  });

  interface SquareRun {
    readonly model: string;
    readonly set: string;
    readonly images: readonly number[];
    readonly norm: 'Linf' | 'L2';
    readonly eps_value: number;
    readonly queries: number;
    readonly success_by_queries: Readonly<Record<string, readonly number[]>>;
  }

  for (const name of ['adv.linf', 'cln.l2', 'r8.linf'])
    golden(true, `square-statistics, ${name}: success against queries over seeds`, async () => {
      const given = attackFigures<{ runs: Readonly<Record<string, SquareRun>> }>('square-statistics')?.runs[name];
      if (given === undefined) return lacking('the golden files beside LINBP_DATA');
      const model = await onDevice(given.model);
      try {
        const [images, labels] = [await testImages(given.set, given.images), await testLabels(given.set, given.images)];
        const queries: number[][] = [];
        for (const seed of [0, 1, 2]) {
          const { samples } = await attack({
            ...{ model, images, labels, attack: 'square', norm: given.norm.toLowerCase() as AttackNorm, seed },
            ...{ eps: given.eps_value, steps: given.queries, batch: 100, compactEvery: 20 },
          });
          queries.push(samples.map((sample) => (sample.success ? sample.queries! : Infinity)));
        }
        for (const [most, theirs] of Object.entries(given.success_by_queries)) {
          const mine = queries.map((each) => each.filter((asked) => asked <= Number(most)).length / each.length);
          expectAgree(`square-statistics ${name}`, mine, theirs, given.images.length, `${most} queries`);
        }
      } finally {
        model.destroy();
      }
    });

  interface Spsa {
    readonly statistics: {
      readonly images: readonly number[];
      readonly directions: number;
      readonly steps: number;
      readonly success: readonly number[];
    };
  }

  golden(true, 'spsa: success over seeds', async () => {
    const given = attackFigures<Spsa>('spsa')?.statistics;
    if (given === undefined) return lacking('the golden files beside LINBP_DATA');
    const model = await onDevice('lenet5-clntrained');
    try {
      const [images, labels] = [await testImages('mnist', given.images), await testLabels('mnist', given.images)];
      const found: number[] = [];
      for (const seed of [0, 1, 2]) {
        const { successRate } = await attack({
          ...{ model, images, labels, attack: 'spsa', eps: 0.2, steps: given.steps, batch: given.images.length, seed },
          parameters: { directions: given.directions, width: 0.01, rate: 0.01 },
        });
        found.push(successRate);
      }
      expectAgree('spsa statistics', found, given.success, given.images.length, 'success');
    } finally {
      model.destroy();
    }
  });

  interface Battery {
    readonly model: string;
    readonly images: { readonly set: string; readonly first: number; readonly count: number };
    readonly norm: string;
    readonly eps_value: number;
    readonly individual: {
      readonly 'fab-t': {
        readonly distance_by_target_rank: readonly (readonly number[])[];
        readonly robust: readonly number[];
      };
    };
  }

  for (const name of ['mlp.linf'])
    golden(true, `aa.${name}: FAB-T alone, distances by rank of the target and who is robust`, async () => {
      const given = attackFigures<Battery>(`aa.${name}`);
      if (given === undefined) return lacking('the golden files beside LINBP_DATA');
      const { first, count, set } = given.images;
      const { distance_by_target_rank: distances, robust } = given.individual['fab-t'];
      const indices = Array.from({ length: count }, (_, n) => first + n);
      const [images, labels] = [await testImages(set, indices), await testLabels(set, indices)];
      const model = await onDevice(given.model);
      try {
        using made = await Attack.compile({
          ...{ model, attack: 'fab-t', norm: given.norm.toLowerCase() as AttackNorm, steps: 100, batch: count },
          parameters: { targets: 9 },
        });
        const { executor, attack: built } = await made.executor();
        const distance = built.graph.tensors.find((tensor) => tensor.name === 'rankDistance')!;
        const byRank: Float32Array[] = [];
        // stops in front of each rank to read what the last one has found
        const run = executor.run.bind(executor);
        executor.run = async (runs, options) => {
          for (const each of runs) {
            if (byRank.length === 0 || each.segment === 'from' || each.segment === 'end')
              byRank.push(await executor.read(distance));
            await run([each], options);
          }
        };
        await made.run({ images, labels });
        // the first was read before anything ran, the second in front of the first rank
        const found = byRank.slice(2, 11);
        for (const [rank, mine] of found.entries()) {
          const both = distances.flatMap((each, n) =>
            each[rank]! > 0 && mine[n]! < 1e9 ? [[each[rank]!, mine[n]!]] : [],
          );
          const [theirs, own] = [0, 1].map((k) => median(both.map((each) => each[k]!))) as [number, number];
          expectWithin(`aa.${name} FAB-T distances`, Math.abs(own / theirs - 1), 0.02, `median of rank ${rank + 1}`);
        }
        const differ = robust.filter((each, n) => {
          // images that are wrong without an attack have no distances
          if (distances[n]!.every((distance) => distance < 0)) return false;
          const nearest = Math.min(...found.map((mine) => mine[n]!));
          return (each === 1) !== nearest > given.eps_value;
        }).length;
        expectWithin(`aa.${name} FAB-T robust`, differ, Math.max(1, (2 * count) / 200), 'images that differ');
      } finally {
        model.destroy();
      }
    });
});
