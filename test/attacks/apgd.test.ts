import { expect } from 'chai';
import { adaptiveWindows, Attack } from '../../src/attacks/index.js';
import type { AttackLoss, AttackNorm, AttackOptions, AttackResult } from '../../src/attacks/index.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { Model, StateDict } from '../../src/nn/model.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import type { DeviceExecutor } from '../../src/program/executor.js';
import { ReferenceExecutor } from '../../src/program/referenceExecutor.js';
import { apgdTrace } from './apgdTrace.js';
import type { Trace } from './apgdTrace.js';
import { eightBitImages, linearModel, modelWith, numbers, smallWeights } from './support.js';

const [count, pixels, steps, seed] = [5, 36, 30, 7] as const;
const tiny: ModelDefinition = {
  name: 'tiny',
  input: [1, 6, 6],
  classes: 5,
  build(net, x) {
    const hidden = net.relu('act1', net.linear('fc1', net.flatten(x), 24));
    return net.linear('fc3', net.relu('act2', net.linear('fc2', hidden, 16)), 5);
  },
};
const tinyWeights: StateDict = new Map(
  describeModel(tiny).layout.specs.map(({ name, shape }, index) => {
    const size = shape.reduce((product, each) => product * each, 1);
    return [name, { shape, data: numbers(60 + index, size, -0.5, 0.5) }];
  }),
);
const images = eightBitImages(seed, count * pixels);
const bytes = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
/**
 * Radii for the traces. Under DLR small ones: its denominator, the lead of the first logit over the third, vanishes
 * where three logits tie, and close to such a tie float32 and float64 part ways.
 */
const radii = { linf: { ce: 0.15, dlr: 0.04 }, l2: { ce: 1.2, dlr: 0.15 } } as const;

/**
 * The iterates and step sizes of a run, read after every step; `seen` gets [points, shares of the first step size] of
 * the whole batch.
 */
async function watch(attack: Attack, seen: { points: Float64Array; shares: Float64Array }[]): Promise<void> {
  const { executor, attack: built } = await attack.executor();
  const share = built.graph.tensors.find(({ name }) => name === 'stepShare')!;
  if (executor instanceof ReferenceExecutor) {
    const { reference } = executor;
    const run = executor.runSegment.bind(executor);
    executor.runSegment = async (segment, row, signal) => {
      await run(segment, row, signal);
      if (segment === 'start' || segment === 'step')
        seen.push({
          points: reference.get(built.iterate).slice() as Float64Array,
          shares: reference.get(share).slice() as Float64Array,
        });
    };
    return;
  }
  const { program } = executor as DeviceExecutor;
  executor.run = async (runs) => {
    for (const { segment, row = 0, repeat = 1 } of runs) {
      for (let i = 0; i < repeat; i++) {
        await program.run([{ segment, row: row + i }]);
        if (segment !== 'start' && segment !== 'step') continue;
        seen.push({
          points: Float64Array.from(await program.read(built.iterate)),
          shares: Float64Array.from(await program.read(share)),
        });
      }
    }
  };
}

/**
 * The first step before which the loss came so close to the last or the best one that rounding decides which is
 * larger: with float32 the trace is bound up to there only.
 */
function firstTie({ losses: seen }: Trace): number {
  let best = seen[0]!;
  for (let k = 1; k <= steps; k++) {
    const near = 1e-5 * (1 + Math.abs(seen[k]!));
    if (Math.abs(seen[k]! - seen[k - 1]!) < near || Math.abs(seen[k]! - best) < near) return k;
    best = Math.max(best, seen[k]!);
  }
  return steps;
}

/** Compares what a run did with the traces of its images; `restart` picks the part of the run. */
function expectTrace(
  seen: { points: Float64Array; shares: Float64Array }[],
  result: AttackResult,
  traces: readonly Trace[],
  tolerance: number,
): void {
  const per = steps + 1;
  for (const [index, trace] of traces.entries()) {
    const [n, restart] = [index % count, Math.floor(index / count)];
    const bound = tolerance < 1e-8 ? steps : firstTie(trace);
    for (let k = 0; k <= bound; k++) {
      const at = restart * per + k;
      const point = seen[at]!.points.subarray(n * pixels, (n + 1) * pixels);
      const off = point.reduce((most, pixel, i) => Math.max(most, Math.abs(pixel - trace.points[k]![i]!)), 0);
      expect(off, `image ${n}, restart ${restart}, point ${k}`).to.be.below(tolerance);
      const loss = result.losses[at * count + n]!;
      expect(loss, `image ${n}, loss ${k}`).to.be.closeTo(
        trace.losses[k]!,
        Math.max(1e-6, tolerance) * (1 + Math.abs(trace.losses[k]!)),
      );
      // the step size belongs to the step that made the point
      if (k > 0) expect(seen[at]!.shares[n], `image ${n}, step size of step ${k - 1}`).to.equal(trace.shares[k - 1]);
    }
  }
}

describe('attacks: APGD', () => {
  let model: Model;
  let labels: number[];
  before(async () => {
    model = await modelWith(tiny, tinyWeights);
    labels = await predictions(model, images);
  });
  after(() => model.destroy());

  it('windows of 100 steps as Croce and Hein list them, of few steps, and of one', () => {
    expect(adaptiveWindows(100)).to.deep.equal([22, 19, 16, 13, 10, 7, 6, 6, 6]);
    expect(adaptiveWindows(30)).to.deep.equal([6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect(adaptiveWindows(1)).to.deep.equal([1]);
    for (const each of [2, 7, 50, 1000]) {
      const covered = adaptiveWindows(each).reduce((sum, length) => sum + length, 0);
      expect(covered).to.be.at.least(each);
    }
  });

  it('takes 100 steps from a step size of 2 eps and a random start unless told otherwise', async () => {
    using attack = await Attack.compile({
      model: { definition: tiny, weights: tinyWeights },
      device: 'reference',
      attack: 'apgd',
      eps: 0.1,
    });
    const { steps: most, alpha, randomStart } = attack.settings;
    expect({ most, alpha, randomStart }).to.deep.equal({ most: 100, alpha: 0.2, randomStart: true });
  });

  const halvings = new Map<string, number>();
  for (const norm of ['linf', 'l2'] as const) {
    for (const loss of ['ce', 'dlr'] as const) {
      const options = {
        model: { definition: tiny, weights: tinyWeights },
        attack: 'apgd',
        eps: radii[norm][loss],
        norm,
        loss,
        steps,
        seed,
        batch: count,
      } as const;
      const traced = (eps: number, restarts: number): Trace[] =>
        Array.from({ length: count * restarts }, (_, index) => {
          const n = index % count;
          const image = images.subarray(n * pixels, (n + 1) * pixels);
          return apgdTrace({
            definition: tiny,
            weights: tinyWeights,
            image,
            label: labels[n]!,
            norm,
            loss,
            eps,
            steps,
            seed,
            sampleId: n,
            restart: Math.floor(index / count),
          });
        });

      it(`${norm}, ${loss}: points, losses and halvings as an independent float64 computation has them`, async () => {
        using attack = await Attack.compile({ ...options, device: 'reference', restarts: 2 });
        const seen: { points: Float64Array; shares: Float64Array }[] = [];
        await watch(attack, seen);
        const traces = traced(options.eps, 2);
        expectTrace(seen, await attack.run({ images, labels }), traces, 1e-9);
        const ends = new Set([6, 11, 15, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
        for (const { halvedBefore } of traces) expect(halvedBefore.every((step) => ends.has(step))).to.equal(true);
        expect(
          new Set(traces.map(({ halvedBefore }) => halvedBefore.join())).size,
          'images halve at times of their own',
        ).to.be.above(1);
        halvings.set(`${norm} ${loss}`, mean(traces.map(({ halvedBefore }) => halvedBefore.length)));
      });

      it(`${norm}, ${loss}: the same on the device, inside the ball and the box at every step`, async () => {
        using attack = await Attack.compile({ ...options, model });
        const seen: { points: Float64Array; shares: Float64Array }[] = [];
        await watch(attack, seen);
        const traces = traced(options.eps, 1);
        expectTrace(seen, await attack.run({ images, labels }), traces, 2e-4);
        expect(mean(traces.map(firstTie)), 'steps compared').to.be.at.least(12);
        for (const { points } of seen) {
          for (let n = 0; n < count; n++) {
            const delta = Array.from(
              points.subarray(n * pixels, (n + 1) * pixels),
              (pixel, i) => pixel - images[n * pixels + i]!,
            );
            const length = norm === 'linf' ? Math.max(...delta.map(Math.abs)) : Math.hypot(...delta);
            expect(length).to.be.at.most(options.eps);
          }
          expect(points.every((pixel) => pixel >= 0 && pixel <= 1)).to.equal(true);
        }
      });
    }
  }

  it('step sizes were halved, at least twice an image', () => {
    for (const [what, each] of halvings) expect(each, what).to.be.at.least(2);
  });

  it('begins on the edge of the ball, each restart elsewhere', async () => {
    for (const norm of ['linf', 'l2'] as const) {
      const gray = new Float32Array(count * pixels).fill(0.5);
      using attack = await Attack.compile({
        model,
        attack: 'apgd',
        eps: 0.2,
        norm,
        steps: 1,
        restarts: 2,
        batch: count,
      });
      const seen: { points: Float64Array; shares: Float64Array }[] = [];
      await watch(attack, seen);
      await attack.run({ images: gray, labels });
      for (const { points } of [seen[0]!, seen[2]!]) {
        const delta = points.subarray(0, pixels).map((pixel) => pixel - 0.5);
        expect(norm === 'linf' ? Math.max(...delta.map(Math.abs)) : Math.hypot(...delta)).to.be.closeTo(0.2, 1e-5);
      }
      expect(Array.from(seen[0]!.points)).to.not.deep.equal(Array.from(seen[2]!.points));
    }
  });

  it('takes the short steps of the official code where DLR has its label third', async () => {
    // Logits 2, 1 and 0 of a gray image; the label stays last in the whole ball.
    const definition = linearModel([1, 6, 6], 3);
    const w = smallWeights(definition, 90)
      .get('fc.weight')!
      .data.map((value) => 2 * value);
    const gray = new Float32Array(pixels).fill(0.5);
    const logitOf = (x: ArrayLike<number>, row: number): number =>
      w.subarray(pixels * row, pixels * (row + 1)).reduce((sum, value, i) => sum + value * x[i]!, 0);
    const bias = Float32Array.from([2, 1, 0], (wanted, row) => wanted - logitOf(gray, row));
    const weights: StateDict = new Map([
      ['fc.weight', { shape: [3, pixels], data: w }],
      ['fc.bias', { shape: [3], data: bias }],
    ]);
    const radius = 0.1;
    using network = await modelWith(definition, weights);
    for (const place of [{ model: network }, { model: { definition, weights }, device: 'reference' }] as const) {
      const common = { attack: 'apgd', norm: 'l2', loss: 'dlr', eps: radius, steps: 1, batch: 1 } as const;
      using attack = await Attack.compile({ ...common, ...place });
      const seen: { points: Float64Array; shares: Float64Array }[] = [];
      await watch(attack, seen);
      await attack.run({ images: gray, labels: Int32Array.of(2) });
      const [from, to] = [seen[0]!.points, seen[1]!.points];
      const range = logitOf(from, 0) + bias[0]! - logitOf(from, 2) - bias[2]!;
      const slope = Float64Array.from(gray, (_, i) => (1e-12 / range ** 2) * (w[i]! - w[2 * pixels + i]!));
      const size = Math.hypot(...slope);
      expect(size / (size + 1e-12)).to.be.within(0.3, 0.8);
      const moved = slope.map((value, i) => from[i]! + (2 * radius * value) / (size + 1e-12) - 0.5);
      const factor = Math.min(1, radius / Math.hypot(...moved));
      // the terms that 1e-12 is left of cancel in float64 as well
      for (const [i, value] of moved.entries()) expect(to[i]! - 0.5).to.be.closeTo(factor * value, 1e-5);
    }
  });

  it('the same bits for any batch', async () => {
    for (const norm of ['linf', 'l2'] as const) {
      const results: AttackResult[] = [];
      for (const batch of [count, 1, 2]) {
        using attack = await Attack.compile({
          model,
          attack: 'apgd',
          eps: radii[norm].dlr,
          norm,
          loss: 'dlr',
          steps,
          restarts: 2,
          batch,
        });
        results.push(await attack.run({ images, labels }));
      }
      for (const result of results) {
        expect(bytes(result.images).equals(bytes(results[0]!.images)), 'images').to.equal(true);
        expect(bytes(result.losses).equals(bytes(results[0]!.losses)), 'losses').to.equal(true);
      }
    }
  });

  it('read-backs and writes do not grow with steps or restarts', async () => {
    const measured: number[][] = [];
    for (const [each, restarts] of [
      [5, 1],
      [25, 1],
      [5, 3],
    ] as const) {
      using attack = await Attack.compile({ model, attack: 'apgd', eps: 0.1, steps: each, restarts, batch: count });
      const { device } = model;
      const write = device.write.bind(device);
      let writes = 0;
      device.write = (...args) => {
        writes++;
        write(...args);
      };
      try {
        measured.push([(await attack.run({ images, labels })).readbacks, writes]);
      } finally {
        device.write = write;
      }
    }
    expect(measured[1]).to.deep.equal(measured[0]);
    expect(measured[2]).to.deep.equal(measured[0]);
  });

  it('returns a misclassified iterate where there is one, else the one of the largest loss', async () => {
    for (const eps of [0.01, 0.1]) {
      using attack = await Attack.compile({ model, attack: 'apgd', loss: 'dlr', eps, steps: 12, batch: count });
      const result = await attack.run({ images, labels });
      for (const [n, sample] of result.samples.entries()) {
        const losses = [sample.cleanLoss, ...Array.from({ length: 13 }, (_, k) => result.losses[k * count + n]!)];
        // DLR is positive exactly where another class leads, so both conditions meet in the largest loss
        expect(sample.loss).to.equal(Math.max(...losses));
        expect(sample.success).to.equal(sample.loss > 0);
      }
    }
  });

  for (const norm of ['linf', 'l2'] as const) {
    for (const loss of ['ce', 'dlr'] as const) {
      it(`LeNet-5, ${norm}, ${loss}: on average at least as strong as PGD at equal steps @slow`, async () => {
        using network = await modelWith(lenet5);
        const pictures = eightBitImages(3, 6 * 784);
        const truth = await predictions(network, pictures);
        const final = async (attackName: 'pgd' | 'apgd'): Promise<number> =>
          mean(await losses(network, pictures, truth, { attack: attackName, norm, loss }));
        const [apgd, pgd] = [await final('apgd'), await final('pgd')];
        expect(apgd, `PGD reaches ${pgd}`).to.be.at.least(pgd);
      });
    }
  }
});

async function predictions(model: Model, pictures: Float32Array): Promise<number[]> {
  const logits = await model.logits(pictures);
  const { classes } = model.definition;
  return Array.from({ length: logits.length / classes }, (_, n) => {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    return row.indexOf(Math.max(...row));
  });
}

async function losses(
  model: Model,
  pictures: Float32Array,
  truth: readonly number[],
  options: { attack: 'pgd' | 'apgd'; norm: AttackNorm; loss: AttackLoss } & Partial<AttackOptions>,
): Promise<number[]> {
  using attack = await Attack.compile({
    model,
    eps: options.norm === 'linf' ? 0.05 : 0.7,
    steps: 25,
    batch: 6,
    ...options,
  });
  return (await attack.run({ images: pictures, labels: truth })).samples.map(({ loss }) => loss);
}
