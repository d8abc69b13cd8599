import { expect } from 'chai';
import { attack, attackFlags, autoAttack, outputFlags } from '../../src/attacks/index.js';
import type { JudgedRun } from '../../src/attacks/index.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { eightBitImages, smallWeights } from './support.js';

type Sample = JudgedRun['result']['samples'][number];

/** A run on 100 images that are right clean, of which `robust` stay right. */
function run(robust: number, more: Partial<JudgedRun> = {}, change: Partial<Sample> = {}, gradients = 1000): JudgedRun {
  const samples = Array.from({ length: 100 }, (_, n) => ({
    ...{ id: n, label: n % 10, cleanCorrect: true, robustCorrect: n < robust, success: n >= robust },
    ...{ cleanLoss: 0.1, loss: 0.2, savedRobustCorrect: true, savedSuccess: false, cleanClass: 0, finalClass: 0 },
    ...{ firstStep: null, linf: 0, l2: 0, ...change },
  }));
  const result = { samples, count: 100, robustAccuracy: robust / 100, cleanAccuracy: 1, cleanCorrect: 100, gradients };
  const common = { attack: 'apgd-ce', rule: 'bp', norm: 'l2', eps: 1.5, minimal: false, targeted: false, alpha: 0.1 };
  return { ...(common as Omit<JudgedRun, 'result'>), result, ...more };
}

const names = (...runs: JudgedRun[]): string[] => attackFlags(runs).map(({ name }) => name);

describe('alarms of attacks', () => {
  it('are silent where nothing is wrong', () => {
    expect(names(run(50, { noise: 0.9 }), run(50.1, { attack: 'square' }, {}, 0), run(30, { eps: 2 }))).to.deep.equal(
      [],
    );
    expect(names(run(0, { norm: 'linf', eps: 1 }))).to.deep.equal([]);
    expect(attackFlags([])).to.deep.equal([]);
  });

  it('searches, minimal-norm attacks, other rules and smaller balls that do more harm', () => {
    const square = (robust: number): JudgedRun => run(robust, { attack: 'square' }, {}, 0);
    expect(names(run(90), square(89))).to.deep.equal(['gradient-masking']);
    expect(names(run(90), square(91))).to.deep.equal([]);
    expect(names(run(90), run(18, { attack: 'fab-t', minimal: true }))).to.deep.equal(['gradient-masking']);
    expect(names(run(90), run(89, { attack: 'fab-t', minimal: true }))).to.deep.equal([]);
    expect(names(run(90), run(80, { rule: 'linbp' }))).to.deep.equal(['gradient-masking']);
    expect(names(run(80), run(90, { rule: 'linbp' }))).to.deep.equal([]);
    expect(names(run(90, { eps: 3 }), run(80))).to.deep.equal(['gradient-masking']);
    expect(names(run(70, { eps: 3 }), run(80))).to.deep.equal([]);
    // Other balls and other aims say nothing about each other.
    expect(names(run(90, { norm: 'linf', eps: 0.1 }), square(20))).to.deep.equal([]);
    expect(names(run(90, { targeted: true }), square(20))).to.deep.equal([]);
  });

  it('gradients that are zero, losses that fall, noise that does more, balls in which nothing can stay right', () => {
    expect(names(run(90, {}, { loss: 0.1 }))).to.deep.equal(['zero-gradient']);
    expect(names(run(90, { alpha: 0 }, { loss: 0.1 }))).to.deep.equal([]);
    expect(names(run(90, { eps: 0 }, { loss: 0.1 }))).to.deep.equal([]);
    expect(names(run(90, {}, { loss: 0.05 }))).to.deep.equal(['gradient-masking']);
    expect(names(run(90, { rule: 'linbp' }, { loss: 0.05 }))).to.deep.equal([]);
    expect(names(run(90, { noise: 0.85 }))).to.deep.equal(['gradient-masking']);
    expect(names(run(11, { norm: 'linf', eps: 0.5 }))).to.deep.equal(['gradient-masking']);
    expect(names(run(10, { norm: 'linf', eps: 0.5 }))).to.deep.equal([]);
  });

  it('say which runs they are about, and no two read the same', () => {
    const at = (eps: number, rule: string): JudgedRun => run(90, { eps, rule, noise: 0.5 }, { loss: 0.1 });
    const runs = [0.2, 0.3].flatMap((eps) => ['bp', 'linbp'].map((rule) => at(eps, rule)));
    const flags = attackFlags([...runs, run(40, { eps: 0.2, attack: 'square' }, {}, 0)]);
    expect(new Set(flags.map(({ message }) => message)).size).to.equal(flags.length);
    const [first] = flags.filter(({ name }) => name === 'zero-gradient');
    expect(first!.message).to.match(/^apgd-ce under bp at eps 0\.2: no step changed/);
    expect(first!.runs).to.deep.equal([{ attack: 'apgd-ce', rule: 'bp', eps: 0.2 }]);
    const pair = flags.find(({ message }) => message.startsWith('square'))!;
    expect(pair.message).to.match(/^square under bp at eps 0\.2 leaves 40\.0 % right, apgd-ce under bp at eps 0\.2 90/);
    expect(pair.runs!.map(({ attack }) => attack)).to.deep.equal(['apgd-ce', 'square']);
    // A single rule and radius need no name, and where any perturbation counts there is no radius.
    const [alone] = attackFlags([run(90, {}, { loss: 0.1 })]);
    expect(alone!.message).to.match(/^apgd-ce: no step/);
    const [free] = attackFlags([run(90, { eps: Infinity }, { loss: 0.1 })]);
    expect(free!.runs).to.deep.equal([{ attack: 'apgd-ce', rule: 'bp', eps: null }]);
    // A run that is not judged is told apart as well.
    const [judged] = attackFlags([at(0.2, 'bp')], [at(0.2, 'bp'), at(0.3, 'bp')]);
    expect(judged!.message).to.match(/^apgd-ce at eps 0\.2: no step/);
  });

  it('gradients that are zero from random starts on, and toward targets', async () => {
    const definition: ModelDefinition = {
      ...{ name: 'dead', input: [1, 2, 3], classes: 5 },
      build: (net, x) => net.linear('out', net.relu('act', net.linear('in', net.flatten(x), 4)), 5),
    };
    const weights = (bias: number) => {
      const all = smallWeights(definition, 3);
      all.get('in.bias')!.data.fill(bias);
      return { definition, weights: all };
    };
    const count = 6;
    const images = eightBitImages(1, count * 6);
    const alarmsOf = async (bias: number): Promise<string[][]> => {
      const common = { model: weights(bias), device: 'reference', images, eps: 0.1 } as const;
      const clean = await attack({ ...common, labels: new Array<number>(count).fill(0), attack: 'fgsm' });
      const labels = clean.samples.map(({ cleanClass }) => cleanClass);
      const found: string[][] = [];
      for (const stage of ['apgd-ce', 'apgd-t'] as const) {
        const options = { version: 'custom', stages: [stage, 'square'], steps: 5, queries: 2 } as const;
        found.push((await autoAttack({ ...common, labels, ...options })).flags.map(({ name }) => name));
        const result = await attack({ ...common, labels, attack: stage, steps: 5, randomStart: true });
        found.push(names({ ...run(6), result, norm: 'linf', eps: 0.1 }));
      }
      return found;
    };
    expect(await alarmsOf(-1000)).to.deep.equal(Array.from({ length: 4 }, () => ['zero-gradient']));
    for (const flags of await alarmsOf(1)) expect(flags).not.to.include('zero-gradient');
  });

  it('outputs that are probabilities', () => {
    expect(outputFlags([0.2, 0.8, 1, 0], 2).map(({ name }) => name)).to.deep.equal(['probabilities']);
    expect(outputFlags([0.2, 0.8, 1.2, -0.2], 2)).to.deep.equal([]);
    expect(outputFlags([0.2, 0.7], 2)).to.deep.equal([]);
  });
});
