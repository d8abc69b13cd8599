import { expect } from 'chai';
import { runMnist } from '../../src/experiments/mnist.js';
import { epochTable, officialLoss, onlyLinbpFails, stepsTo, tallies } from '../../src/experiments/mnistFigures.js';
import { outcomes } from '../../src/experiments/outcome.js';
import type { TrainingRun } from '../../src/experiments/trainingRuns.js';
import { cifar10Training, finalTable } from '../../src/experiments/cifarTraining.js';
import { constant } from '../../src/train/schedules.js';
import { smallest } from './support.js';

const run = (rule: string, lr: number, trainLoss: number): TrainingRun => ({
  ...{ rule, lr, seed: 0, losses: [] },
  epochs: [{ epoch: 1, trainLoss, trainAccuracy: 0, seconds: 0 }],
});

describe('training experiments', () => {
  it('finds the rates at which only LinBP fails', () => {
    const diverged: TrainingRun = { ...run('linbp', 0.4, NaN), epochs: [], diverged: true, cause: 'loss is NaN' };
    const runs = [
      run('bp', 0.1, 1),
      run('linbp', 0.1, 0.5),
      run('bp', 0.2, 1),
      run('linbp', 0.2, 4),
      run('bp', 0.4, 9),
      diverged,
    ];
    expect(onlyLinbpFails(runs)).to.deep.equal([0.2]);
    const ends = tallies(runs).find(({ rule, lr }) => rule === 'linbp' && lr === 0.4)!;
    expect(ends).to.deep.include({ runs: 1, failed: 1, ends: { 'not finite': 1, 'above guessing': 0, stuck: 0 } });
  });

  it('tells runs that have hardly begun from those that are stuck where guessing is', () => {
    const guessing = Math.log(10);
    const slow = run('linbp', 0.001, 0.999 * guessing);
    const fine = run('linbp', 0.1, 0.5);
    const dead = run('linbp', 0.4, 1.001 * guessing);
    const other = { ...run('linbp', 0.4, guessing), seed: 1 };
    const bp = run('bp', 0.4, guessing);
    const found = outcomes([slow, fine, dead, other, bp], 10);
    // Only the third has a run of its own rule and seed at a smaller rate that got further; below, one that failed.
    expect([slow, fine, dead, other, bp].map((each) => found.get(each))).to.deep.equal([
      'trains',
      'trains',
      'stuck',
      'trains',
      'trains',
    ]);
    expect(
      outcomes([run('bp', 1, 1.06 * guessing)], 10)
        .values()
        .next().value,
    ).to.equal('above guessing');
  });

  it('counts the steps to a loss in the trailing mean', () => {
    const falling = Array.from({ length: 100 }, (_, i) => 2 - i / 100);
    // The mean of 20 steps up to step n is 2 - (n - 10.5) / 100.
    expect(stepsTo(falling, 1.5)).to.equal(61);
    expect(stepsTo(falling, 0.5)).to.equal(undefined);
  });

  it("gives the loss in the official code's unit: batch means over images", () => {
    // 100 images are two batches of 64 and 36.
    expect(officialLoss({ losses: [2, 1, 0.5, 0.25] }, 0, 100)).to.equal(0.03);
    expect(officialLoss({ losses: [2, 1, 0.5, 0.25] }, 1, 100)).to.equal(0.0075);
  });

  it('gives no interval for the losses of one seed', () => {
    const runs = (...seeds: number[]): TrainingRun[] =>
      seeds.flatMap((seed) => ['bp', 'linbp'].map((rule) => ({ ...run(rule, 0.1, 2 + seed), seed, losses: [64] })));
    expect(epochTable(0.1, runs(0), 64).rows[0]![1]).to.equal('2');
    expect(epochTable(0.1, runs(0, 1), 64).rows[0]![1]).to.match(/^2\.5 \[/);
  });

  it('trains the MLP under both rules from the same weights and says what holds', async () => {
    const context = await smallest({ dataset: 'digits' });
    const recipe = { model: 'mlp', lr: 0.05, schedule: constant, scheduleText: 'constant', rates: [] } as const;
    const result = await runMnist(context, recipe);
    const { runs } = result.figures as { runs: TrainingRun[] };
    expect(runs.map(({ rule }) => rule)).to.deep.equal(['bp', 'linbp']);
    const [bp, linbp] = runs as [TrainingRun, TrainingRun];
    // The first loss is computed before any update, so it belongs to the weights and the batch alone.
    expect(linbp.losses[0]).to.equal(bp.losses[0]);
    expect(linbp.losses[30]).to.not.equal(bp.losses[30]);
    expect(bp.epochs.at(-1)!.trainLoss).to.be.below(bp.epochs[0]!.trainLoss);
    expect(result.statements[0]!.text).to.include('LinBP');
    expect(result.curves.map((curves) => curves.lines.length)).to.deep.equal([2, 1, 2, 2, 2, 2, 2]);
  });

  it('trains MobileNetV2 by the official recipe under both rules @slow', async () => {
    // Without a data folder the images are the stand-in's.
    const before = process.env['LINBP_DATA'];
    delete process.env['LINBP_DATA'];
    try {
      const result = await cifar10Training.run(await smallest({ networks: ['mobilenet_v2'] }));
      const runs = result.figures['runs'] as (TrainingRun & { network: string })[];
      expect(runs.map(({ network, rule }) => `${network} ${rule}`)).to.deep.equal([
        'mobilenet_v2 bp',
        'mobilenet_v2 linbp',
      ]);
      const [bp, linbp] = [runs[0]!, runs[1]!];
      // The same weights, batch, crops and dropout: the first loss agrees, the one after an update does not.
      expect(bp.losses).to.have.length(2);
      expect(linbp.losses[0]).to.equal(bp.losses[0]);
      expect(linbp.losses[1]).to.not.equal(bp.losses[1]);
      expect(result.settings.find(({ name }) => name === 'images')!.ours).to.include(
        'colored digits, 16 to train, 8 to test',
      );
      expect(result.statements[0]!.verdict).to.equal('open');
    } finally {
      if (before !== undefined) process.env['LINBP_DATA'] = before;
    }
  });

  it('a run that diverged has no figures after the last epoch, although it has some of an earlier one', () => {
    const epoch = { epoch: 1, trainLoss: 2, trainAccuracy: 0.1, testLoss: 2, testAccuracy: 0.25, seconds: 1 };
    const sound = { ...run('bp', 0.1, 2), network: 'vgg16_bn', family: 'bp' as const, epochs: [epoch] };
    const ended = { ...sound, rule: 'linbp', family: 'linbp' as const, diverged: true as const, cause: 'loss is NaN' };
    const { rows } = finalTable([sound, ended, { ...ended, epochs: [] }]);
    expect(rows.map((row) => row.slice(3))).to.deep.equal([
      ['2', '2', '25.0 %'],
      ['diverged', '', ''],
      ['diverged', '', ''],
    ]);
  });

  it('where every run diverges, tables and lines say so and nowhere show a figure that is none', async () => {
    const lines: string[] = [];
    const progress = { line: (text: string) => void lines.push(text), update: () => undefined };
    const context = await smallest({ dataset: 'digits', progress });
    const recipe = { model: 'mlp', lr: 1e30, schedule: constant, scheduleText: 'constant', rates: [1e30] } as const;
    const result = await runMnist(context, recipe);
    expect(result.statements.map(({ verdict }) => verdict)).not.to.include('holds');
    const shown = [
      ...lines,
      ...result.tables.flatMap(({ rows }) => rows.flat()),
      ...result.statements.map((s) => s.text),
    ];
    const figures = shown.filter((text) => !text.includes('diverged,'));
    expect(figures.join('\n'))
      .to.include('not finite')
      .and.not.to.match(/NaN|undefined|test accuracy 0\.0 %/);
  });

  it('networks that the experiment does not know are refused', async () => {
    const error: unknown = await cifar10Training
      .run(await smallest({ networks: ['lenet5'] }))
      .catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'unknown-model');
  });
});
