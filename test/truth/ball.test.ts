import { expect } from 'chai';
import { Attack, attacks } from '../../src/attacks/index.js';
import type { AttackDefinition } from '../../src/attacks/index.js';
import { checkFinishedImages } from '../../src/attacks/check.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import { eightBitImages, linearModel, modelWith, numbers, randomLabels } from '../attacks/support.js';
import { sharedDevice } from '../support/device.js';
import { refusal } from './support.js';

const norm2 = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0));

describe('the final images of attacks', () => {
  for (const [side, names] of [
    [8, ['pgd', 'apgd']],
    [96, ['noisy']],
  ] as const) {
    it(`small L2 balls around ${side} x ${side} images are kept to 1e-6, in one program`, async () => {
      const definition: ModelDefinition = linearModel([1, side, side], 3);
      using model = Model.create(definition, { device: await sharedDevice(), seed: 3 });
      const pixels = side * side;
      // Pixels near 1 are where float32 is coarsest.
      const images = numbers(side, 4 * pixels, 0.9, 1);
      const labels = randomLabels(side, 4, 3);
      for (const attackName of names) {
        using attack = await Attack.compile({
          model,
          attack: attackName,
          norm: 'l2',
          eps: 1,
          steps: 5,
          batch: 4,
          keep: 'last',
        });
        for (const eps of [1e-5, 1e-3, 0.03, 1]) {
          const { images: adversarial } = await attack.run({ images, labels, eps });
          for (let n = 0; n < 4; n++) {
            const part = [adversarial, images].map((all) => all.subarray(n * pixels, (n + 1) * pixels));
            expect(norm2(part[0]!, part[1]!), `${attackName} eps ${eps}`).to.be.at.most(eps * (1 + 1e-6));
          }
        }
      }
    });
  }

  it('a custom attack whose projection does nothing is refused, in both norms, on device and reference', async () => {
    const free: AttackDefinition = { ...attacks.ifgsm, name: 'free', projection: (_stage, point) => point };
    const definition = linearModel([1, 4, 4], 3);
    using model = await modelWith(definition);
    const images = eightBitImages(1, 32);
    for (const device of ['gpu', 'reference'] as const) {
      for (const norm of ['linf', 'l2'] as const) {
        using attack = await Attack.compile({
          model,
          device,
          attack: free,
          norm,
          eps: 0.01,
          alpha: 0.2,
          steps: 2,
          batch: 2,
          keep: 'last',
        });
        const error = await refusal(() => attack.run({ images, labels: [0, 1] }), 'bad-range');
        expect(error.message).to.match(/left the ball/);
      }
    }
  });

  it('a projection that clamps does not hide a gradient that is not finite', async () => {
    const definition = linearModel([1, 4, 4], 3);
    using model = await modelWith(definition);
    const infinite: AttackDefinition = {
      ...attacks.ifgsm,
      name: 'infinite',
      gradient: ({ graph }, gradient) =>
        graph.one('map', [gradient], {
          fn: {
            name: 'blow',
            inputs: ['g'],
            scalars: ['s'],
            results: ['g * s * s'],
            reference: (g, s) => [g! * s! * s! * 1e300],
          },
          scalars: [3e38],
          targets: ['new'],
        }),
    };
    for (const norm of ['linf', 'l2'] as const) {
      using attack = await Attack.compile({
        model,
        attack: infinite,
        norm,
        eps: 0.1,
        steps: 2,
        batch: 2,
        keep: 'last',
      });
      await refusal(() => attack.run({ images: eightBitImages(1, 32), labels: [0, 1] }), 'diverged');
    }
  });

  it('options are checked as float32 holds them', async () => {
    using model = await modelWith(linearModel([1, 4, 4], 3));
    const run = (options: object) => () => Attack.compile({ model, norm: 'l2', eps: 1, batch: 1, ...options });
    await refusal(run({ eps: 1e39 }), 'bad-range');
    await refusal(run({ alpha: 1e39 }), 'bad-range');
    await refusal(run({ attack: 'mifgsm', decay: 1e39 }), 'bad-range');
  });

  it('the check itself knows each way to leave the ball', async () => {
    const clean = Float32Array.of(0.2, 102 / 255, 1);
    const at = (adversarial: number[], saved: number[], norm: 'linf' | 'l2' | 'l1', eps: number) => () =>
      checkFinishedImages(
        { adversarial: Float32Array.from(adversarial), clean, saved: Uint8Array.from(saved), size: 3, first: 0 },
        { norm, eps },
      );
    const whole = [51, 102, 255];
    const still = [...clean];
    at(still, whole, 'linf', 0)();
    at([0.25, still[1]!, 1], [63, 102, 255], 'linf', 0.05)();
    await refusal(at([NaN, still[1]!, 1], whole, 'linf', 1), 'diverged');
    await refusal(at([still[0]!, still[1]!, 1.0000001], whole, 'linf', 1), 'bad-range');
    await refusal(at([-1e-30, still[1]!, 1], whole, 'linf', 1), 'bad-range');
    await refusal(at([0.2501, still[1]!, 1], whole, 'linf', 0.05), 'bad-range');
    await refusal(at(still, [52, 102, 255], 'linf', 0.9 / 255), 'bad-range');
    await refusal(at([0.3, 0.3, 1], whole, 'l2', 0.1), 'bad-range');
    await refusal(at([0.25, 0.35, 1], whole, 'l1', 0.09), 'bad-range');
    await refusal(at(still, [60, 102, 255], 'l2', 0.02), 'bad-range');
  });
});
