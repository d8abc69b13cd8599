import { expect } from 'chai';
import { noisyQuery } from '../../src/attacks/transforms.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { Graph } from '../../src/graph/graph.js';
import { Attack, attacks, gaussianKernel, intermediateLevel, paddedSide } from '../../src/attacks/index.js';
import type { AttackOptions, AttackResult } from '../../src/attacks/index.js';
import type { LinbpError } from '../../src/errors.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';
import { randomStreams } from '../../src/random/philox.js';
import { resizePadOf, shownPlace } from '../../src/random/resizePad.js';
import { linearModel, modelWith, numbers } from './support.js';

const side = 10;
const channels = 2;
const pixels = channels * side * side;
const count = 6;
const seed = Math.floor(Math.random() * 1e6);
const labels = Int32Array.from({ length: count }, (_, n) => n % 2);
/** Far enough from 0 and 1 that nothing is clipped there. */
const clean = numbers(seed, count * pixels, 0.3, 0.7);
const eps = 0.1;

const weightOf = (outputs: number, inputs: number, salt: number): Float32Array =>
  numbers(seed + salt, outputs * inputs, -1, 1);
const dense = (
  name: string,
  outputs: number,
  inputs: number,
  salt: number,
): [string, { shape: number[]; data: Float32Array }][] => [
  [`${name}.weight`, { shape: [outputs, inputs], data: weightOf(outputs, inputs, salt) }],
  [`${name}.bias`, { shape: [outputs], data: numbers(seed + salt + 1, outputs, -0.1, 0.1) }],
];

async function run(
  definition: ModelDefinition,
  weights: StateDict,
  options: Partial<AttackOptions>,
  input: { start?: Float32Array; targets?: Int32Array } = {},
): Promise<AttackResult> {
  using model = await modelWith(definition, weights);
  using attack = await Attack.compile({ model, eps, keep: 'last', batch: count, seed, ...options });
  return await attack.run({ images: clean, labels, ...input });
}

/** Images of a two-class linear model, whose gradient has the sign of w_other - w_y at every point. */
const linear = linearModel([channels, side, side], 2);
const linearWeights: StateDict = new Map(dense('fc', 2, pixels, 1));
const slope = (y: number, i: number): number => {
  const w = linearWeights.get('fc.weight')!.data;
  return w[(1 - y) * pixels + i]! - w[y * pixels + i]!;
};

/**
 * Expects the images to be the clean ones plus `length` times the sign of `direction`, where that is not too small
 * for float32 to tell.
 */
function expectSteps(images: Float32Array, length: number, direction: (n: number) => Float64Array): void {
  for (let n = 0; n < count; n++) {
    for (const [i, value] of direction(n).entries()) {
      if (value !== 0 && Math.abs(value) < 1e-4) continue;
      expect(images[n * pixels + i]! - clean[n * pixels + i]!, `sample ${n}, pixel ${i}, seed ${seed}`).to.be.closeTo(
        length * Math.sign(value),
        1e-6,
      );
    }
  }
}

/** Transposed scaling and padding of the gradient of sample n in the step that has the number `query`. */
function scaledBack(n: number, query: number): Float64Array {
  const size = side;
  const largest = paddedSide(side);
  const {
    applied,
    side: scaled,
    down,
    right,
  } = resizePadOf(seed, randomStreams.inputTransform, n, query, { size, largest, probability: 0.5 });
  const result = new Float64Array(pixels);
  for (let i = 0; i < pixels; i++) {
    const [plane, row, column] = [Math.floor(i / size ** 2), Math.floor(i / size) % size, i % size];
    const [h, w] = applied
      ? [shownPlace(row, down, scaled, size, largest), shownPlace(column, right, scaled, size, largest)]
      : [row, column];
    if (h >= 0 && w >= 0) result[(plane * size + h) * size + w]! += slope(labels[n]!, i);
  }
  return result;
}

describe('attacks that transfer: closed forms', () => {
  it('random scaling: sides, places and share are uniform; an unscaled side shows every pixel once', () => {
    const all = Array.from({ length: 4000 }, (_, id) =>
      resizePadOf(seed, 5, id, 3, { size: 32, largest: 40, probability: 0.5 }),
    );
    expect(all.filter(({ applied }) => applied).length / all.length).to.be.within(0.45, 0.55);
    for (let scaled = 32; scaled <= 40; scaled++) {
      const some = all.filter((each) => each.side === scaled);
      expect(some.length / all.length).to.be.within(0.08, 0.145);
      for (const place of ['down', 'right'] as const) {
        const places = new Set(some.map((each) => each[place]));
        expect([...places].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 41 - scaled }, (_, k) => k));
      }
    }
    expect([32, 224, 28].map(paddedSide)).to.deep.equal([40, 256, 30]);
    expect(Array.from({ length: 9 }, (_, place) => shownPlace(place, 0, 9, 9, 9))).to.deep.equal(
      Array.from({ length: 9 }, (_, place) => place),
    );
    // Nearest by hand: 4 pixels in a frame of 6 at row 1, scaled to 5.
    expect([0, 1, 2, 3].map((place) => shownPlace(place, 1, 5, 4, 6))).to.deep.equal([-1, 0, 1, 2]);
  });

  it('input diversity: the gradient goes back through the scaling', async () => {
    const { images } = await run(linear, linearWeights, { attack: 'difgsm', steps: 1 });
    // The first row of the step table holds the clean images.
    expectSteps(images, eps, (n) => scaledBack(n, 1));
    const applied = Array.from(
      { length: count },
      (_, n) => resizePadOf(seed, 5, n, 1, { size: side, largest: 11, probability: 0.5 }).applied,
    );
    const momentum = await run(linear, linearWeights, { attack: 'mdi2fgsm', steps: 1 });
    expect(momentum.images).to.deep.equal(images);
    const plain = await run(linear, linearWeights, { attack: 'ifgsm', steps: 1 });
    const same = applied.map((_, n) =>
      images.subarray(n * pixels, (n + 1) * pixels).every((value, i) => value === plain.images[n * pixels + i]),
    );
    applied.forEach((each, n) => {
      if (!each) expect(same[n], `sample ${n}`).to.equal(true);
    });
  });

  it('draws anew in each step, and results do not depend on the batch', async () => {
    const options = { attack: 'difgsm', steps: 4 } as const;
    const whole = await run(linear, linearWeights, options);
    expect((await run(linear, linearWeights, { ...options, batch: 2 })).images).to.deep.equal(whole.images);
    const total = (n: number): Float64Array => {
      const steps = [1, 2, 3, 4].map((query) =>
        scaledBack(n, query).map((value) => (Math.abs(value) < 1e-4 ? NaN : Math.sign(value))),
      );
      return steps[0]!.map((_, i) => steps.reduce((sum, step) => sum + step[i]!, 0));
    };
    for (let n = 0; n < count; n++) {
      total(n).forEach((signs, i) => {
        if (Number.isNaN(signs)) return;
        expect(whole.images[n * pixels + i]! - clean[n * pixels + i]!, `seed ${seed}`).to.be.closeTo(
          (signs * eps) / 4,
          1e-6,
        );
      });
    }
  });

  it('translation invariance: the gradient is smoothed by a kernel of sum 1', async () => {
    for (const size of [3, 5, 15]) {
      const kernel = gaussianKernel(size);
      expect(kernel.reduce((sum, each) => sum + each, 0)).to.be.closeTo(1, 1e-12);
      expect([...kernel].reverse().every((each, i) => Math.abs(each - kernel[i]!) < 1e-15)).to.equal(true);
    }
    // exp(-4.5 / 4) at one step from the middle of five
    expect(gaussianKernel(5)[11]! / gaussianKernel(5)[12]!).to.be.closeTo(Math.exp(-1.125), 1e-12);
    const kernel = gaussianKernel(5);
    const { images } = await run(linear, linearWeights, { attack: 'tifgsm', steps: 1 });
    expectSteps(images, eps, (n) =>
      Float64Array.from({ length: pixels }, (_, i) => {
        const [plane, row, column] = [Math.floor(i / side ** 2), Math.floor(i / side) % side, i % side];
        let sum = 0;
        for (let dy = -2; dy <= 2; dy++) {
          for (let dx = -2; dx <= 2; dx++) {
            const [h, w] = [row + dy, column + dx];
            if (h >= 0 && h < side && w >= 0 && w < side)
              sum += kernel[(dy + 2) * 5 + dx + 2]! * slope(labels[n]!, (plane * side + h) * side + w);
          }
        }
        return sum;
      }),
    );
  });

  it('noisy gradients: in L2 and L1 the point is uniform in the ball', () => {
    const [samples, pixels, radius] = [400, 9, 0.5];
    for (const norm of ['l2', 'l1'] as const) {
      const graph = new Graph();
      const [x, sampleIds] = [graph.input('x', [samples, 1, 3, 3]), graph.input('ids', [samples], 'u32')];
      const query = noisyQuery({ graph, norm, sampleIds, seed: 1, query: 0, radius } as never, x);
      const run = new ReferenceRun(graph);
      run.set(x, new Float64Array(samples * pixels).fill(0.5));
      run.set(
        sampleIds,
        Uint32Array.from({ length: samples }, (_, n) => n),
      );
      run.run();
      const moved = Array.from(run.get(query), (value) => value - 0.5);
      const shares = Array.from({ length: samples }, (_, n) => {
        const own = moved.slice(n * pixels, (n + 1) * pixels);
        return (norm === 'l2' ? Math.hypot(...own) : own.reduce((sum, value) => sum + Math.abs(value), 0)) / radius;
      });
      expect(Math.max(...shares)).to.be.at.most(1 + 1e-9);
      // With n pixels the n-th power of the length over the radius is uniform: mean 1/2, deviation 0.29 / sqrt(400).
      expect(shares.reduce((sum, share) => sum + share ** pixels, 0) / samples, norm).to.be.closeTo(0.5, 0.07);
    }
  });

  it('noisy gradients: the noise moves where the gradient is taken and nothing else', async () => {
    const net: ModelDefinition = {
      ...linear,
      build: (b, x) => b.linear('out', b.relu('act', b.linear('hidden', b.flatten(x), 30)), 2),
    };
    const weights: StateDict = new Map([...dense('hidden', 30, pixels, 3), ...dense('out', 2, 30, 5)]);
    const still = await run(net, weights, { attack: 'noisy', steps: 3, alpha: 0 });
    expect(still.images).to.deep.equal(clean);
    const [noisy, plain] = [
      await run(net, weights, { attack: 'noisy', steps: 3, keep: 'best' }),
      await run(net, weights, { attack: 'ifgsm', steps: 3, keep: 'best' }),
    ];
    expect(noisy.images).to.not.deep.equal(plain.images);
    // The clean images are where both begin.
    expect(noisy.losses.subarray(0, count)).to.deep.equal(plain.losses.subarray(0, count));
  });

  it("the NeurIPS code's FGSM, a step of 2 eps and then the box, is FGSM", async () => {
    const [wide, plain] = [
      await run(linear, linearWeights, { attack: 'fgsm', alpha: 2 * eps }),
      await run(linear, linearWeights, { attack: 'fgsm' }),
    ];
    wide.images.forEach((pixel, i) => expect(pixel).to.be.closeTo(plain.images[i]!, 1e-6));
  });
});

describe('intermediate level attack', () => {
  const width = 12;
  const net: ModelDefinition = {
    ...linear,
    build: (b, x) => b.linear('out', b.relu('act', b.linear('hidden', b.flatten(x), width)), 2),
  };
  const weights: StateDict = new Map([...dense('hidden', width, pixels, 7), ...dense('out', 2, width, 9)]);
  const made = clean.map((pixel, i) => pixel + (numbers(seed + 20, clean.length, -0.05, 0.05)[i] ?? 0));

  /** W^T W (x1 - x) of the linear layer: what the objective's gradient is everywhere. */
  const pulled = (n: number): Float64Array => {
    const w = weights.get('hidden.weight')!.data;
    const delta = Float64Array.from({ length: pixels }, (_, i) => made[n * pixels + i]! - clean[n * pixels + i]!);
    const feature = Float64Array.from({ length: width }, (_, k) =>
      delta.reduce((sum, each, i) => sum + w[k * pixels + i]! * each, 0),
    );
    return delta.map((_, i) => feature.reduce((sum, each, k) => sum + each * w[k * pixels + i]!, 0));
  };

  it('climbs <F(x) - F(x0), F(x1) - F(x0)> from the clean image; targeted ones, too', async () => {
    const options = { attack: intermediateLevel('hidden'), steps: 5, alpha: 0.01 };
    const { images, losses } = await run(net, weights, options, { start: made });
    expectSteps(images, 0.05, pulled);
    const targets = labels.map((label) => 1 - label);
    expect((await run(net, weights, { ...options, targeted: true }, { start: made, targets })).images).to.deep.equal(
      images,
    );
    // It begins at the clean images again, not where the first stage ended.
    const plain = await run(net, weights, { attack: 'ifgsm', steps: 1 });
    expect(losses.subarray(0, count)).to.deep.equal(plain.losses.subarray(0, count));
  });

  it('through a nonlinear output, the objective rises with every step, on the device as in float64', async () => {
    const at = 'act';
    const w = weights.get('hidden.weight')!.data;
    const b = weights.get('hidden.bias')!.data;
    const feature = (images: Float32Array, n: number): number[] =>
      Array.from({ length: width }, (_, k) => {
        let sum = b[k]!;
        for (let i = 0; i < pixels; i++) sum += w[k * pixels + i]! * images[n * pixels + i]!;
        return Math.max(sum, 0);
      });
    // Where a ReLU turns on or off on the way, the objective may fall.
    const active = (images: Float32Array, n: number): string =>
      feature(images, n)
        .map((value) => (value > 0 ? 1 : 0))
        .join('');
    const bent = new Set<number>();
    const objective = (images: Float32Array, n: number): number => {
      const [now, from, to] = [images, clean, made].map((each) => feature(each, n)) as [number[], number[], number[]];
      return now.reduce((sum, value, k) => sum + (value - from[k]!) * (to[k]! - from[k]!), 0);
    };
    let before = Array.from({ length: count }, () => 0);
    for (const steps of [1, 2, 3, 4]) {
      const options = { attack: intermediateLevel(at), steps, alpha: 0.005 };
      const { images } = await run(net, weights, options, { start: made });
      const now = Array.from({ length: count }, (_, n) => objective(images, n));
      now.forEach((value, n) => {
        if (active(images, n) !== active(clean, n)) bent.add(n);
        const moves = feature(clean, n).some((value, k) => value > 0 && value !== feature(made, n)[k]);
        if (moves && !bent.has(n)) expect(value, `sample ${n}, ${steps} steps, seed ${seed}`).to.be.above(before[n]!);
      });
      before = now;
      const reference = await (
        await Attack.compile({
          model: { definition: net, weights },
          device: 'reference',
          eps,
          keep: 'last',
          batch: count,
          ...options,
        })
      ).run({
        images: clean,
        labels,
        start: made,
      });
      const different = images.filter((pixel, i) => Math.abs(pixel - reference.images[i]!) > 1e-6).length;
      expect(different / images.length).to.be.below(0.01);
    }
  });

  it('refuses unknown layers and random starts before anything runs', async () => {
    const compile = (options: Partial<AttackOptions>): Promise<LinbpError> =>
      Attack.compile({
        model: { definition: net, weights },
        device: 'reference',
        eps,
        attack: intermediateLevel('hidden'),
        ...options,
      }).then(
        (attack) => attack.executor().then(() => expect.fail('compiled')),
        (error: LinbpError) => error,
      );
    expect(await compile({ attack: intermediateLevel('nowhere') })).to.include({
      code: 'unknown-layer',
      field: 'layer',
    });
    expect(await compile({ randomStart: true })).to.include({ code: 'bad-argument', field: 'randomStart' });
    expect(Object.keys(attacks)).to.include.members(['difgsm', 'mdi2fgsm', 'tifgsm', 'noisy']);
  });
});
