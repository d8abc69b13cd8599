import { expect } from 'chai';
import { flagsOf } from '../../src/attacks/autoattackFlags.js';
import { attack, attacks } from '../../src/attacks/index.js';
import type { AutoAttackStage, AutoAttackStageName } from '../../src/attacks/index.js';
import { gradientSamplings } from '../../src/attacks/transfer.js';
import type { HostModel } from '../../src/nn/model.js';
import { bentModel, linearModel, numbers, smallWeights } from './support.js';

const [count, classes, side] = [24, 5, 6] as const;
const size = side * side;

/** A linear network, and images of which it takes each for its label. */
function linear(seed: number, spread: number, reached: number = side) {
  const w = numbers(seed, classes * size, -spread, spread);
  // rows and columns from `reached` on do not matter
  for (const i of w.keys()) if (i % side >= reached || Math.floor(i / side) % side >= reached) w[i] = 0;
  const b = numbers(seed + 1, classes, -0.2, 0.2);
  const images = numbers(seed + 2, count * size, 0.4, 0.6);
  const logit = (pixels: Float32Array, n: number, k: number): number => {
    let sum = b[k]!;
    for (let i = 0; i < size; i++) sum += w[k * size + i]! * pixels[n * size + i]!;
    return sum;
  };
  const all = Array.from({ length: classes }, (_, k) => k);
  const labels = Array.from({ length: count }, (_, n) =>
    all.reduce((best, k) => (logit(images, n, k) > logit(images, n, best) ? k : best)),
  );
  const difference = (y: number, k: number): Float64Array =>
    Float64Array.from({ length: size }, (_, i) => w[y * size + i]! - w[k * size + i]!);
  const model: HostModel = {
    definition: linearModel([1, side, side], classes),
    weights: new Map([
      ['fc.weight', { shape: [classes, size], data: w }],
      ['fc.bias', { shape: [classes], data: b }],
    ]),
  };
  const others = (y: number): number[] => all.filter((k) => k !== y);
  return { model, images, labels, logit, difference, others };
}

const dual = {
  linf: (v: Float64Array): number => v.reduce((sum, each) => sum + Math.abs(each), 0),
  l2: (v: Float64Array): number => Math.hypot(...v),
  l1: (v: Float64Array): number => v.reduce((most, each) => Math.max(most, Math.abs(each)), 0),
};

describe('searches on linear networks', () => {
  const net = linear(60, 1);
  const { model, images, labels, logit, difference, others } = net;
  /** How far the boundary to class k is. */
  const boundary = (n: number, k: number, norm: keyof typeof dual): number =>
    (logit(images, n, labels[n]!) - logit(images, n, k)) / dual[norm](difference(labels[n]!, k));
  const nearest = (n: number, norm: keyof typeof dual): number =>
    Math.min(...others(labels[n]!).map((k) => boundary(n, k, norm)));
  const common = { model, device: 'reference', images, labels } as const;

  it('apgd-t with all targets breaks exactly the images with some boundary inside the ball', async () => {
    const distances = Array.from({ length: count }, (_, n) => nearest(n, 'linf'));
    const eps = [...distances].sort((a, b) => a - b)[Math.floor(count / 2)]! * 1.001;
    const result = await attack({ ...common, attack: 'apgd-t', eps, steps: 30 });
    const first = await attack({ ...common, attack: 'apgd-t', eps, steps: 30, rankedTargets: 1 });
    // one run a target, the last one included
    expect(new Set(result.curve.map(({ restart }) => restart)).size).to.equal(classes - 1);
    const broken = result.samples.map(({ robustCorrect }) => !robustCorrect);
    // within a hundredth of the radius the last step decides
    for (const [n, distance] of distances.entries())
      if (Math.abs(distance / eps - 1) > 0.01) expect(broken[n], `image ${n}`).to.equal(distance < eps);
    // the class with the second largest logit is not always the nearest
    const byFirst = first.samples.filter(({ robustCorrect }) => !robustCorrect).length;
    expect(byFirst).to.be.below(broken.filter(Boolean).length);
  });

  for (const norm of ['linf', 'l2', 'l1'] as const)
    it(`fmn in ${norm}, from images behind the boundary, comes back${norm === 'l1' ? ' @slow' : ''}`, async () => {
      const start = images.slice();
      for (let n = 0; n < count; n++) {
        // straight through the nearest boundary, half as far again as it is
        const k = others(labels[n]!).reduce((best, each) =>
          boundary(n, each, 'l2') < boundary(n, best, 'l2') ? each : best,
        );
        const w = difference(labels[n]!, k);
        const far = (1.5 * boundary(n, k, 'l2')) / dual.l2(w);
        for (let i = 0; i < size; i++) start[n * size + i]! -= far * w[i]!;
      }
      for (const [i, pixel] of start.entries()) start[i] = Math.min(Math.max(pixel, 0), 1);
      const { images: found } = await attack({ ...common, attack: 'fmn', norm, steps: 400, start });
      for (let n = 0; n < count; n++) {
        const moves = Float64Array.from({ length: size }, (_, i) => found[n * size + i]! - images[n * size + i]!);
        const length = { linf: dual.l1, l2: dual.l2, l1: dual.linf }[norm](moves);
        // images are rounded to float32
        const least = nearest(n, norm);
        expect(length, `image ${n}`).to.be.within(least - 2e-6, 1.1 * least + 2e-6);
      }
    });

  it('square reaches the corner of the ball: the lead falls by eps times the L1 norm of weights @slow', async () => {
    // windows never reach the last row and column, as in the official code
    const two = linear(80, 0.2, side - 1);
    const eps = 0.001;
    const options = { model: two.model, device: 'reference', images: two.images, labels: two.labels } as const;
    const { images: found, samples } = await attack({ ...options, attack: 'square', eps, steps: 2500 });
    let compared = 0;
    for (const [n, { robustCorrect }] of samples.entries()) {
      if (!robustCorrect) continue;
      const y = two.labels[n]!;
      const lead = (pixels: Float32Array, k: number): number => two.logit(pixels, n, y) - two.logit(pixels, n, k);
      const after = Math.min(...two.others(y).map((k) => lead(found, k)));
      const least = two.others(y).map((k) => lead(two.images, k) - eps * dual.linf(two.difference(y, k)));
      // where one class stays ahead of the others all the way
      const [best, second] = [...least].sort((a, b) => a - b) as [number, number];
      if (second - best < 2 * eps * Math.max(...two.others(y).map((k) => dual.linf(two.difference(y, k))))) continue;
      expect(after, `image ${n}`).to.be.closeTo(best, 1e-6);
      compared++;
    }
    expect(compared).to.be.above(3);
  });

  it('ni and vni look ahead along the momentum: with none of it they are mi and vmi', async () => {
    const definition = bentModel(side, classes);
    const bent: HostModel = { definition, weights: smallWeights(definition, 90) };
    const made = async (name: 'vmi' | 'vni' | 'ni' | undefined, decay: number): Promise<number[]> => {
      const own = name === undefined ? attacks.mifgsm : { ...attacks.mifgsm, name, sampling: gradientSamplings[name] };
      const parameters = name === undefined || name === 'ni' ? {} : { samples: 3 };
      const options = { model: bent, device: 'reference', images, labels, eps: 0.2, steps: 6 } as const;
      return [...(await attack({ ...options, attack: own, parameters, decay })).images];
    };
    for (const [ahead, plain] of [
      ['ni', undefined],
      ['vni', 'vmi'],
    ] as const) {
      expect(await made(ahead, 0), ahead).to.deep.equal(await made(plain, 0));
      expect(await made(ahead, 1), ahead).to.not.deep.equal(await made(plain, 1));
    }
  });
});

describe("flags of AutoAttack's stages", () => {
  /** Stages of 100 images after which so many are right. */
  const stages = (...after: readonly (readonly [AutoAttackStageName, number])[]): AutoAttackStage[] =>
    after.map(([name, robustCorrect], k) => ({
      ...{ name, robustCorrect, attacked: k === 0 ? 100 : after[k - 1]![1], robustAccuracy: robustCorrect / 100 },
      ...{ gradients: 1, forwards: 1, seconds: 1 },
    }));
  const names = (found: AutoAttackStage[], norm: 'linf' | 'l1' = 'linf', among = 10): string[] =>
    flagsOf(found, norm, among, 100).map(({ name }) => name);

  it('masked gradients where Square takes more than 0.2 points, or FAB more than 2', () => {
    expect(names(stages(['apgd-ce', 90], ['square', 89]))).to.deep.equal(['gradient-masking']);
    expect(names(stages(['apgd-ce', 90], ['square', 90]))).to.deep.equal([]);
    expect(names(stages(['apgd-ce', 90], ['apgd-t', 50], ['fab-t', 48]))).to.deep.equal([]);
    for (const name of ['fab', 'fab-t'] as const)
      expect(names(stages(['apgd-ce', 90], [name, 87]))).to.deep.equal(['gradient-masking']);
    // the first stage has none before it that could have left something
    expect(names(stages(['fab', 40]))).to.deep.equal([]);
    expect(names(stages(['square', 40]))).to.deep.equal([]);
  });

  it('few classes, and no Square in L1', () => {
    expect(names(stages(['apgd-ce', 90]), 'linf', 3)).to.deep.equal(['few-classes']);
    expect(names(stages(['apgd-ce', 90]), 'linf', 4)).to.deep.equal([]);
    expect(names(stages(['apgd-ce', 90]), 'l1'), 'a version without it').to.deep.equal([]);
    expect(names(stages(['apgd-ce', 90], ['fab-t', 90]), 'l1')).to.deep.equal(['no-l1-square']);
  });
});
