import { expect } from 'chai';
import { attack, attacks, intermediateLevel } from '../../src/attacks/index.js';
import type { AttackNorm, AttackOptions } from '../../src/attacks/index.js';
import { rightness } from '../../src/experiments/attackRuns.js';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { addModel, addStores, positionTable } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import type { HostModel } from '../../src/nn/model.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { sharedDevice } from '../support/device.js';
import { attackFigures, attackTensors, dataFolder, testImages, testLabels, trained } from './replay.js';
import { slowly } from '../support/slow.js';

/** Runs a test where the golden files are. */
const golden = (slow: boolean, title: string, body: () => Promise<void>): void =>
  slowly(slow, title, 1_800_000, async () => {
    if (dataFolder !== '') await body();
  });

const onDevice = async (name: string): Promise<Model> => {
  const file = name === 'resnet8' ? 'resnet8-mlperf-tiny' : name;
  const { definition, weights } = (await trained(file)) as HostModel;
  const model = Model.create(definition, { device: await sharedDevice() });
  model.setStateDict(weights);
  return model;
};

/**
 * Two proportions of the same images agree within 1.96 standard errors, and what seeds of the reference differ by.
 */
function expectAgree(mine: readonly number[], theirs: readonly number[], images: number, message: string): void {
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [p, q] = [mean(mine), mean(theirs)];
  const spread = Math.max(...theirs) - Math.min(...theirs);
  const slack = 1.96 * Math.sqrt((p * (1 - p) + q * (1 - q)) / images) + spread;
  expect(Math.abs(p - q), `${message}: ${p} and ${q}`).to.be.at.most(slack);
}

describe('reference values of other codes', () => {
  interface Bpa {
    readonly images: readonly number[];
    readonly labels: readonly number[];
    readonly norms: Readonly<Record<string, readonly number[]>>;
  }

  golden(
    false,
    'bpa-lenet: gradients with the soft ReLU, the soft max-pool, and both, to 1e-6 in float64',
    async () => {
      const [given, tensors] = [attackFigures<Bpa>('bpa-lenet'), attackTensors('bpa-lenet')];
      if (given === undefined || tensors === undefined) return;
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
          const length = Math.hypot(...theirs.subarray(n * size, (n + 1) * size));
          let off = 0;
          for (let i = n * size; i < (n + 1) * size; i++) off += (mine[i]! - theirs[i]!) ** 2;
          expect(length / given.norms[name]![n]!, `${name}, image ${n}`).to.be.closeTo(1, 1e-6);
          expect(Math.sqrt(off) / length, `${name}, image ${n}`).to.be.below(1e-6);
        }
      }
    },
  );

  interface Steps {
    readonly images: readonly number[];
    readonly labels: readonly number[];
    readonly eps_value: number;
    readonly alpha: number;
    readonly parameters: { readonly layer: string };
  }

  golden(true, 'transfer-steps: the images of ILA', async () => {
    const [given, tensors] = [attackFigures<Steps>('transfer-steps'), attackTensors('transfer-steps')];
    if (given === undefined || tensors === undefined) return;
    const common = {
      ...{
        model: await trained('resnet20'),
        device: 'reference' as const,
        eps: given.eps_value,
        alpha: given.alpha,
        steps: 3,
      },
      ...{ images: await testImages('cifar', given.images), labels: given.labels },
    };
    const { images: start } = await attack({ ...common, attack: 'ifgsm' });
    const layer = intermediateLevel(given.parameters.layer);
    const { images } = await attack({ ...common, attack: layer, start });
    const expected = tensors('ila.final');
    const differ = images.filter((pixel, i) => Math.abs(pixel - expected[i]!) > 1e-6).length;
    // x1 is rounded to float32 in between, which may turn the sign of a gradient next to zero
    expect(differ / images.length).to.be.at.most(1e-3);
  });

  interface Row {
    readonly alpha: string;
    readonly steps: number;
    readonly resnet20: { readonly correct: string };
  }
  type Victims = Readonly<Record<(typeof victims)[number], { readonly correct: string }>>;
  const victims = ['resnet20', 'resnet32', 'resnet56', 'resnet8'] as const;
  const mi = { attack: attacks.mifgsm };
  const rows: Readonly<Record<string, Partial<AttackOptions>>> = {
    fgsm: { attack: 'fgsm' },
    'fgsm.naive-ce': { attack: 'fgsm', loss: 'ce-rounded' },
    ifgsm: { attack: 'ifgsm' },
    mi,
    ni: { attack: 'ni' },
    ti5: { attack: 'ti' },
    'sgm0.5': { ...mi, rules: 'sgm:gamma=0.5' },
    bpa: { ...mi, rules: 'bpa:from=layer3' },
  };

  golden(
    true,
    `transfer-table: which images ${Object.keys(rows).join(', ')} leave right on four networks`,
    async () => {
      const given = attackFigures<{ results: Readonly<Record<string, Row & Victims>> }>('transfer-table')?.results;
      if (given === undefined) return;
      const indices = Array.from({ length: 60 }, (_, n) => n);
      const [images, labels] = [await testImages('cifar', indices), await testLabels('cifar', indices)];
      const models = new Map<string, Model>();
      for (const name of victims) models.set(name, await onDevice(name));
      try {
        for (const [name, options] of Object.entries(rows)) {
          const row = given[name]!;
          const [levels, all] = row.alpha.split('/').map(Number) as [number, number];
          const own = { eps: 8 / 255, alpha: levels / all, ...(row.steps > 1 && { steps: row.steps }), ...options };
          const made = await attack({ model: models.get('resnet20')!, images, labels, batch: 60, ...own });
          for (const victim of victims) {
            const right = await rightness(models.get(victim)!, made.images, labels, 60);
            const differ = right.filter((each, n) => each !== Number(row[victim].correct[n])).length;
            expect(differ, `${name}, images that ${victim} sees otherwise`).to.be.at.most(0.03 * 60 + 0.2);
          }
        }
      } finally {
        for (const model of models.values()) model.destroy();
      }
    },
  );

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
      if (given === undefined) return;
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
          expectAgree(mine, theirs, given.images.length, `${most} queries`);
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
    if (given === undefined) return;
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
      expectAgree(found, given.success, given.images.length, 'success');
    } finally {
      model.destroy();
    }
  });
});
