import { expect } from 'chai';
import { onlyLinbpFails, runMnist, stepsTo } from '../../src/experiments/mnist.js';
import type { TrainingRun } from '../../src/experiments/trainingRuns.js';
import type { ExperimentContext } from '../../src/experiments/types.js';
import { constant } from '../../src/train/schedules.js';
import { sharedDevice } from '../support/device.js';

const quiet = { line: (): void => undefined, update: (): void => undefined };

const run = (rule: string, lr: number, trainLoss: number): TrainingRun => ({
  ...{ rule, lr, seed: 0, losses: [] },
  epochs: [{ epoch: 1, trainLoss, trainAccuracy: 0, seconds: 0 }],
});

describe('training experiments', () => {
  it('finds the rates at which only LinBP fails', () => {
    const diverged: TrainingRun = { ...run('linbp', 0.4, NaN), epochs: [], diverged: 'loss is NaN' };
    const runs = [run('bp', 0.1, 1), run('linbp', 0.1, 0.5), run('bp', 0.2, 1), run('linbp', 0.2, 4), run('bp', 0.4, 9), diverged];
    expect(onlyLinbpFails(runs, 10)).to.deep.equal([0.2]);
  });

  it('counts the steps to a loss in the trailing mean', () => {
    const falling = Array.from({ length: 100 }, (_, i) => 2 - i / 100);
    // The mean of 20 steps up to step n is 2 - (n - 10.5) / 100.
    expect(stepsTo(falling, 1.5)).to.equal(61);
    expect(stepsTo(falling, 0.5)).to.equal(undefined);
  });

  it('trains the MLP under both rules from the same weights and says what holds', async () => {
    const context: ExperimentContext = {
      ...{ scale: 1e-6, seeds: 1, seed: 5, dataset: 'digits', dataFolder: undefined, compat: 'none', progress: quiet },
      ...{ device: await sharedDevice(), signal: new AbortController().signal },
    };
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
    expect(result.curves.map((curves) => curves.lines.length)).to.deep.equal([2, 1, 2, 2, 2, 2]);
  });
});
