import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadDataset } from '../../src/data/load.js';
import { Graph } from '../../src/graph/graph.js';
import { Model, initialState } from '../../src/nn/model.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { Program } from '../../src/program/program.js';
import { adam, sgd } from '../../src/train/optimizers.js';
import type { Optimizer } from '../../src/train/optimizers.js';
import type { TrainerOptions } from '../../src/train/settings.js';
import { Trainer } from '../../src/train/trainer.js';
import { sharedDevice } from '../support/device.js';
import { squares, tiny } from '../train/support.js';
import { itInHalf } from './support.js';
import { expectLinbpError } from '../io/support.js';

const dataset = squares(48);

async function withTrainer<T>(options: Partial<TrainerOptions>, body: (trainer: Trainer) => Promise<T>): Promise<T> {
  using model = Model.create(tiny, { device: await sharedDevice(), seed: 3 });
  using trainer = await Trainer.create({
    model,
    dataset,
    optimizer: adam({ lr: 0.01 }),
    batch: 16,
    precision: 'f16',
    ...options,
  });
  return await body(trainer);
}

const flat = (state: ReadonlyMap<string, { readonly data: ArrayLike<number> }>): number[] =>
  [...state.values()].flatMap(({ data }) => Array.from(data));

describe('half precision: training', () => {
  for (const optimizer of [adam({ lr: 0.01, weightDecay: 0.1 }), sgd({ lr: 0.1, momentum: 0.9, nesterov: true })]) {
    itInHalf(
      `${optimizer.name}: a scale that overflows leaves weights and states as they are and halves, step ` +
        'by step, until gradients fit',
      async () => {
        await withTrainer({ optimizer, lossScale: { initial: 2 ** 40 } }, async (trainer) => {
          const before = flat(await trainer.stateDict());
          await trainer.fit({ epochs: 1, steps: 2 });
          expect(await trainer.lossScale()).to.deep.equal({ scale: 2 ** 38, goodSteps: 0, skippedSteps: 2 });
          expect(flat(await trainer.stateDict())).to.deep.equal(before);
          await trainer.fit({ epochs: 20, steps: 48 });
          const after = (await trainer.lossScale())!;
          expect(after.scale).to.equal(2 ** (40 - after.skippedSteps));
          expect(after.skippedSteps).to.be.within(10, 40);
          expect(after.goodSteps).to.be.at.least(1);
          const weights = flat(await trainer.stateDict());
          expect(weights.every(Number.isFinite)).to.equal(true);
          expect(weights).to.not.deep.equal(before);
        });
      },
    );
  }

  itInHalf('the scale doubles after as many good steps as asked for', async () => {
    await withTrainer({ lossScale: { initial: 256, growthInterval: 2 } }, async (trainer) => {
      const seen: (number | undefined)[] = [];
      for (let step = 0; step < 5; step++) {
        await trainer.fit({ epochs: 4, steps: 1 });
        seen.push((await trainer.lossScale())?.scale);
      }
      expect(seen).to.deep.equal([256, 512, 512, 1024, 1024]);
    });
  });

  itInHalf('the scale does not change the step: weights after three steps agree with those of f32', async () => {
    const weights = [];
    for (const precision of ['f32', 'f16'] as const) {
      weights.push(
        await withTrainer(
          { precision, optimizer: sgd({ lr: 0.1, momentum: 0.9, weightDecay: 0.01 }) },
          async (trainer) => {
            await trainer.fit({ epochs: 1 });
            return flat(await trainer.stateDict());
          },
        ),
      );
    }
    const start = flat(initialState(tiny, 3));
    const [full, half] = weights as [number[], number[]];
    const moved = Math.hypot(...full.map((value, i) => value - start[i]!));
    expect(Math.hypot(...full.map((value, i) => value - half[i]!)) / moved).to.be.within(1e-9, 0.01);
  });

  itInHalf('goes on from a checkpoint bit for bit, the loss scale included', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'linbp-half-'));
    const path = (name: string): string => join(folder, name);
    const options = { lossScale: { initial: 2 ** 30, growthInterval: 3 } };
    try {
      const whole = await withTrainer(options, async (trainer) => {
        await trainer.fit({ epochs: 9, steps: 22, checkpoint: path('whole') });
        return trainer.lossScale();
      });
      await withTrainer(options, (trainer) => trainer.fit({ epochs: 9, steps: 9, checkpoint: path('part') }));
      const resumed = await withTrainer(options, async (trainer) => {
        await trainer.resume(path('part'));
        await trainer.fit({ epochs: 9, steps: 13, checkpoint: path('part') });
        return trainer.lossScale();
      });
      expect(resumed).to.deep.equal(whole);
      expect(whole!.skippedSteps).to.be.above(0);
      expect(readFileSync(path('part.safetensors')).equals(readFileSync(path('whole.safetensors')))).to.equal(true);
      await withTrainer({ precision: 'f32' }, async (trainer) => {
        await expectLinbpError(() => trainer.resume(path('part')), 'bad-file', /precision is "f16/);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses what it cannot do, before any work', async () => {
    const refused = (options: Partial<TrainerOptions>): Promise<unknown> =>
      withTrainer(options, async () => undefined).then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(await refused({ precision: 'f8' as 'f16' })).to.include({ code: 'unknown-option', field: 'precision' });
    expect(await refused({ lossScale: { initial: 0 } })).to.include({ code: 'bad-range', field: 'lossScale' });
    expect(await refused({ lossScale: { growthInterval: 0.5 } })).to.include({ code: 'bad-range', field: 'lossScale' });
    expect(await refused({ model: { definition: tiny, weights: initialState(tiny) }, device: 'reference' })).to.include(
      {
        code: 'bad-argument',
        field: 'precision',
      },
    );
    const copying: Optimizer = {
      ...sgd({ lr: 0.1 }),
      name: 'copying',
      emit: (graph, { parameters, gradients }) => void graph.add('assign', [gradients, parameters], {}),
    };
    expect(await refused({ optimizer: copying })).to.include({ code: 'bad-argument', field: 'optimizer' });
  });

  itInHalf(
    'LeNet-5 learns the digits as well as in f32 @slow',
    async () => {
      const digits = await loadDataset({ dataset: 'digits', split: 'train', limit: 1024 });
      const testDataset = await loadDataset({ dataset: 'digits', split: 'test', limit: 256 });
      const accuracies: number[] = [];
      for (const precision of ['f32', 'f16'] as const) {
        using model = Model.create(lenet5, { device: await sharedDevice() });
        using trainer = await Trainer.create({
          model,
          dataset: digits,
          testDataset,
          optimizer: adam({ lr: 0.004 }),
          batch: 32,
          precision,
        });
        const { epochs } = await trainer.fit({ epochs: 4 });
        accuracies.push(epochs.at(-1)!.testAccuracy!);
        if (precision === 'f16') expect((await trainer.lossScale())!.skippedSteps).to.be.below(10);
      }
      console.log(`      test accuracy ${accuracies[0]} in f32, ${accuracies[1]} in f16`);
      expect(accuracies[0]).to.be.above(0.75);
      expect(accuracies[1]).to.be.above(accuracies[0]! - 0.06);
    },
    120_000,
  );
});

describe('overflow', () => {
  for (const [count, place] of [
    [1, 0],
    [7, 6],
    [8192, 8191],
    [20_001, 20_000],
    [20_001, 9000],
  ] as const) {
    it(`finds one bad value among ${count}, at ${place}`, async () => {
      const graph = new Graph();
      const x = graph.input('x', [count]);
      graph.output('found', graph.one('overflow', [x], {}));
      using program = await Program.compile(graph, {
        device: await sharedDevice(),
        ...(count > 10_000 && { maxBindingBytes: 65_536 }),
      });
      const values = Float32Array.from({ length: count }, () => (Math.random() - 0.5) * 3e38);
      for (const [value, expected] of [
        [3.4e38, 0],
        [Infinity, 1],
        [-Infinity, 1],
        [NaN, 1],
      ] as const) {
        values[place] = value;
        program.write(x, values);
        await program.run([{ segment: 'main' }]);
        expect(Array.from(await program.read('found')), String(value)).to.deep.equal([expected]);
      }
    });
  }
});
