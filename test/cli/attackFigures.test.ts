import { expect } from 'chai';
import { fromArrays } from '../../src/data/dataset.js';
import type { AttackResult } from '../../src/attacks/result.js';
import { robustBenchEntry } from '../../src/cli/attack/curves.js';
import { judgeRuns } from '../../src/cli/attack/judge.js';
import { medianChange, runLines } from '../../src/cli/attack/output.js';
import type { TriedRun } from '../../src/cli/attack/output.js';
import { foldRestarts } from '../../src/cli/attack/restarts.js';
import type { Classifier } from '../../src/cli/inference.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';

/** A run whose images are fooled by changes of these lengths. */
function tried(lengths: readonly number[], settings: Readonly<Record<string, unknown>> = {}): TriedRun {
  const figures = { robustCorrect: 1, robustAccuracy: 0.5, successRate: 0.5 };
  const extreme = { largest: 0.1, mean: 0.05 };
  const costs = { gradients: 1, forwards: 1, overflows: 0, dispatches: 1, submits: 1, readbacks: 1, seconds: 1 };
  const rate = { imageGradientsPerSecond: 1 };
  const result = {
    ...figures,
    ...costs,
    ...rate,
    count: 2,
    cleanAccuracy: 1,
    saved: figures,
    linf: extreme,
    l2: extreme,
  };
  const images = lengths.map((l2) => ({ success: l2 > 0, l2 }));
  const cell = { attack: 'autoattack', definition: 'autoattack', rule: 'bp', norm: 'l2', eps: 0.5, ...settings };
  return { result, images, victims: [], minimal: true, settings: cell } as unknown as TriedRun;
}

describe('figures of attacks', () => {
  it('the median of an even number of changes is the mean of the middle two', () => {
    expect(medianChange(tried([4, 0, 1, 2, 0, 3]))).to.equal(2.5);
    expect(medianChange(tried([5, 1, 3]))).to.equal(3);
    expect(medianChange(tried([0, 0]))).to.equal(undefined);
  });

  it('an image is unmoved where all its restarts are, not only the best', () => {
    const still = [
      [true, true],
      [true, false],
      [false, true],
      [false, false],
    ].flat();
    const samples = still.map((unmoved, row) => {
      const found = { id: row, label: 0, finalClass: 0, loss: 1 - (row % 2), cleanCorrect: true, firstStep: null };
      return unmoved ? { ...found, unmoved } : found;
    });
    const passes = still.map((_, row) => ({ gradients: 1, forwards: row }));
    const rows = { samples, passes, count: 8, gradients: 8, images: new Float32Array(8), images8: new Uint8Array(8) };
    const result = { ...rows, curve: [], losses: new Float32Array(0) } as unknown as AttackResult;
    const folded = foldRestarts(result, 2, 0);
    expect(folded.samples.map(({ unmoved }) => unmoved)).to.deep.equal([true, undefined, undefined, undefined]);
    expect(folded.passes).to.deep.equal([1, 5, 9, 13].map((forwards) => ({ gradients: 2, forwards })));
  });

  it('only AutoAttack with its own steps stands as autoattack_acc', () => {
    const dataset = fromArrays({
      ...{ shape: [2, 1, 1, 1], classes: 2, images: new Float32Array(2), labels: new Int32Array(2) },
    });
    const entry = (settings: Readonly<Record<string, unknown>>): unknown =>
      robustBenchEntry(tried([1], settings), modelDefinition('mlp'), dataset, [])['autoattack_acc'];
    expect(entry({ version: 'standard', steps: 100 })).to.equal('50.00');
    expect(entry({ version: 'standard', steps: 1 })).to.equal(null);
    expect(entry({ version: 'standard', steps: 100, queries: 5000 })).to.equal('50.00');
    expect(entry({ version: 'standard', steps: 100, queries: 500 })).to.equal(null);
    expect(entry({ version: 'standard', steps: 100, queries: null })).to.equal('50.00');
    expect(entry({ version: 'rand', steps: 100 })).to.equal(null);
    expect(entry({ version: 'standard', steps: 100, rule: 'linbp' })).to.equal(null);
  });

  it('alarms stand beside the runs that they are about, those of the network beside all', async () => {
    const dataset = fromArrays({
      ...{ shape: [2, 1, 1, 1], classes: 2, images: new Float32Array(2), labels: new Int32Array(2) },
    });
    const image = { ...{ label: 0, cleanCorrect: true, robustCorrect: true, success: false }, loss: 1, cleanLoss: 1 };
    const stuck = (run: TriedRun, flags?: object[]): TriedRun => {
      const samples = [image, image];
      const result = { ...run.result, samples, gradients: flags ? 0 : 2, robustAccuracy: 1, robustCorrect: 2 };
      return {
        ...run,
        minimal: false,
        result: { ...result, ...(flags && { flags }) } as unknown as TriedRun['result'],
      };
    };
    const masked = { name: 'gradient-masking', message: 'square took 3.0 points' };
    const few = { name: 'few-classes', message: 'with 2 classes the margin takes the place of DLR' };
    const pgd = { attack: 'pgd', definition: 'pgd', alpha: 0.1, rule: 'linbp' };
    const runs = [
      ...[0.2, 0.3].map((eps) => stuck(tried([1], { ...pgd, eps }))),
      ...[0.2, 0.3].map((eps) => stuck(tried([1], { eps }), eps === 0.2 ? [few] : [few, masked])),
    ];
    const classify = {
      logits: () => Promise.resolve(Float32Array.of(0.5, 0.5, 0.5, 0.5)),
      classes: () => Promise.resolve(Int32Array.of(0, 0)),
    } as unknown as Classifier;
    const signal = new AbortController().signal;
    const flags = await judgeRuns(runs, classify, dataset, { seed: 0, batch: 2, signal });
    const lines = flags.map(({ message }) => message);
    expect(new Set(lines).size).to.equal(lines.length);
    expect(lines).to.include('autoattack under bp at eps 0.3: square took 3.0 points');
    expect(lines).to.include(`autoattack under bp at eps 0.2, autoattack under bp at eps 0.3: ${few.message}`);
    const entries = runs.map((run) => robustBenchEntry(run, modelDefinition('mlp'), dataset, flags));
    expect(entries.map((entry) => entry['flags'])).to.deep.equal([
      ['probabilities', 'zero-gradient'],
      ['probabilities', 'zero-gradient'],
      ['probabilities', 'few-classes'],
      ['probabilities', 'few-classes', 'gradient-masking'],
    ]);
    expect(entries.map((entry) => entry['unreliable'])).to.deep.equal([true, true, false, true]);
  });

  it('the largest change is called that of the saved images', () => {
    const line = runLines(tried([1])).find((each) => each.startsWith('largest change'));
    expect(line).to.match(/linf 0\.10000 .*l2 0\.1000 \(as saved\)$/);
  });
});
