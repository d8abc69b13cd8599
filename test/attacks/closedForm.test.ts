import { expect } from 'chai';
import { Attack, attacks, elementwiseMap } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackOptions } from '../../src/attacks/index.js';
import type { ElementwiseFunction } from '../../src/graph/types.js';
import type { StateDict } from '../../src/nn/model.js';
import { linearModel, modelWith, numbers } from './support.js';

const [C, H, W] = [2, 3, 5] as const;
const pixels = C * H * W;
const definition = linearModel([C, H, W], 2);
const count = 9;

/** Loss of the margin objective at images of a linear two-class model, from its weights. */
interface Linear {
  readonly weights: StateDict;
  /** Gradient of the margin of label y: w_other - w_y. */
  readonly slope: (y: number) => Float64Array;
  readonly margin: (x: ArrayLike<number>, y: number) => number;
}

function linear(seed: number): Linear {
  const w = numbers(seed, 2 * pixels, -1, 1);
  const b = numbers(seed + 1, 2, -0.5, 0.5);
  const slope = (y: number): Float64Array =>
    Float64Array.from({ length: pixels }, (_, i) => w[(1 - y) * pixels + i]! - w[y * pixels + i]!);
  const margin = (x: ArrayLike<number>, y: number): number =>
    slope(y).reduce((sum, each, i) => sum + each * x[i]!, b[1 - y]! - b[y]!);
  const weights: StateDict = new Map([
    ['fc.weight', { shape: [2, pixels], data: w }],
    ['fc.bias', { shape: [2], data: b }],
  ]);
  return { weights, slope, margin };
}

const norms = {
  l1: (v: Float64Array): number => v.reduce((sum, each) => sum + Math.abs(each), 0),
  l2: (v: Float64Array): number => Math.sqrt(v.reduce((sum, each) => sum + each * each, 0)),
};

/** The sum of the eight pixels around one, zeros outside the image. */
function aroundIn(values: Float64Array, i: number): number {
  const [row, column] = [Math.floor(i / W) % H, i % W];
  let sum = 0;
  for (const down of [-1, 0, 1]) {
    for (const right of [-1, 0, 1]) {
      const inside = row + down >= 0 && row + down < H && column + right >= 0 && column + right < W;
      if (inside && (down !== 0 || right !== 0)) sum += values[i + down * W + right]!;
    }
  }
  return sum;
}

const plainStep: ElementwiseFunction = {
  name: 'plainStep',
  inputs: ['x', 'g'],
  scalars: ['alpha'],
  results: ['x + alpha * g'],
  reference: (x, g, alpha) => [x! + alpha! * g!],
};

describe('attacks: closed forms on a linear model', () => {
  const seed = Math.floor(Math.random() * 1e6);
  const net = linear(seed);
  const labels = Int32Array.from({ length: count }, (_, n) => n % 2);
  const inner = numbers(seed + 2, count * pixels, 0.3, 0.7);
  const whole = numbers(seed + 3, count * pixels);

  async function losses(
    images: Float32Array,
    options: Omit<AttackOptions, 'model'>,
    targets?: Int32Array,
  ): Promise<number[]> {
    using model = await modelWith(definition, net.weights);
    using attack = await Attack.compile({ model, batch: count, keep: 'last', ...options });
    const result = await attack.run({ images, labels, ...(targets === undefined ? {} : { targets }) });
    return result.samples.map((sample, n) =>
      net.margin(result.images.subarray(n * pixels, (n + 1) * pixels), sample.label),
    );
  }
  const expectAll = (actual: readonly number[], wanted: (n: number) => number): void =>
    actual.forEach((value, n) =>
      expect(value, `sample ${n}, seed ${seed}`).to.be.closeTo(wanted(n), 1e-5 * (1 + Math.abs(wanted(n)))),
    );
  const clean = (images: Float32Array, n: number): number =>
    net.margin(images.subarray(n * pixels, (n + 1) * pixels), labels[n]!);

  for (const loss of ['ce', 'margin'] as const) {
    for (const attack of ['fgsm', 'ifgsm', 'mifgsm', 'pgd', 'apgd', 'noisy'] as const) {
      const common = { attack, loss, ...(attack === 'fgsm' ? {} : { steps: 60 }) };
      it(`${attack}, ${loss}: L-infinity reaches m + eps ||w||_1`, async () => {
        const eps = 0.25;
        const reached = await losses(inner, { ...common, eps });
        expectAll(reached, (n) => clean(inner, n) + eps * norms.l1(net.slope(labels[n]!)));
      });
      it(`${attack}, ${loss}: L2 reaches m + eps ||w||_2`, async () => {
        const eps = 0.25;
        const reached = await losses(inner, { ...common, eps, norm: 'l2', alpha: attack === 'fgsm' ? eps : eps / 2 });
        expectAll(reached, (n) => clean(inner, n) + eps * norms.l2(net.slope(labels[n]!)));
      });
    }
  }

  it('L-infinity with an active box: every pixel goes as far as it can', async () => {
    const eps = 0.4;
    const reached = await losses(whole, { attack: 'pgd', loss: 'margin', eps, steps: 20 });
    expectAll(reached, (n) => {
      const slope = net.slope(labels[n]!);
      const x = whole.subarray(n * pixels, (n + 1) * pixels);
      return net.margin(
        slope.map((each, i) => Math.min(1, Math.max(0, x[i]! + eps * Math.sign(each)))),
        labels[n]!,
      );
    });
  });

  it('a targeted attack of two classes goes where the untargeted one goes', async () => {
    const eps = 0.25;
    const reached = await losses(
      inner,
      { attack: 'pgd', eps, steps: 20, targeted: true, norm: 'linf' },
      Int32Array.from(labels, (y) => 1 - y),
    );
    expectAll(reached, (n) => clean(inner, n) + eps * norms.l1(net.slope(labels[n]!)));
  });

  /** How far PI goes in steps of one unit, with a ring of two and a radius of four. */
  function patchwise(slope: Float64Array, steps: number): Float64Array {
    const [sums, moved] = [new Float64Array(pixels), new Float64Array(pixels)];
    for (let step = 0; step < steps; step++) {
      for (let i = 0; i < pixels; i++) sums[i]! += Math.sign(slope[i]!);
      const cut = sums.map((each) => Math.sign(each) * Math.max(Math.abs(each) - 4, 0));
      for (let i = 0; i < pixels; i++) {
        const ring = 2 * Math.sign(aroundIn(cut, i));
        sums[i]! += ring;
        moved[i] = Math.min(Math.max(moved[i]! + Math.sign(slope[i]!) + ring, -4), 4);
      }
    }
    return moved;
  }

  for (const steps of [4, 5, 6, 7]) {
    it(`pi, ${steps} steps: sums that end at the edge of the ball spread nothing, and neighbors cancel`, async () => {
      using model = await modelWith(definition, net.weights);
      const options = { attack: 'pi', loss: 'margin', eps: 8 / 255, alpha: 0.8 / 255, steps } as const;
      const parameters = { amplification: 2.5, patch: 4 / 255 };
      using attack = await Attack.compile({ model, batch: count, keep: 'last', ...options, parameters });
      const { images } = await attack.run({ images: inner, labels });
      const moved = Array.from(labels, (y) => [...patchwise(net.slope(y), steps)]).flat();
      const apart = images.findIndex((pixel, i) => Math.abs(pixel - inner[i]! - (2 / 255) * moved[i]!) > 1e-5);
      expect(apart, `first pixel elsewhere, seed ${seed}`).to.equal(-1);
    });
  }

  it('the loss is summed: more images in a batch do not shrink a gradient', async () => {
    using model = await modelWith(definition, net.weights);
    // Steps of a fixed length would hide a factor, so this one follows the gradient itself.
    const follow: AttackDefinition = {
      ...attacks.fgsm,
      step: ({ graph, alpha }, x, g) => elementwiseMap(graph, plainStep, [x, g], [alpha]),
    };
    const moved: number[][] = [];
    for (const batch of [1, count]) {
      using attack = await Attack.compile({ model, batch, eps: 1, alpha: 1e-3, keep: 'last', attack: follow });
      const { images } = await attack.run({ images: inner, labels });
      moved.push([images[0]! - inner[0]!, images[pixels]! - inner[pixels]!]);
    }
    expect(moved[0]).to.deep.equal(moved[1]);
    // d CE / dx = p_other (w_other - w_y)
    const share = 1 / (1 + Math.exp(-clean(inner, 0)));
    expect(moved[0]![0]).to.be.closeTo(1e-3 * share * net.slope(labels[0]!)[0]!, 1e-6);
  });
});
