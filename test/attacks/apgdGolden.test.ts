import { expect } from 'chai';
import type { AttackLoss, AttackNorm } from '../../src/attacks/index.js';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { attackFixture, dataFolder, replay, testImages, trained } from './replay.js';

interface Trace {
  readonly model: string;
  readonly set: string;
  readonly images: readonly number[];
  readonly labels: readonly number[];
  readonly norm: 'Linf' | 'L2' | 'L1';
  readonly eps_value: number;
  readonly loss: 'ce' | 'dlr' | 'dlr-targeted';
  readonly start_key: string;
  readonly targets: readonly number[] | null;
  /** How far each image's losses move when the weights are perturbed by float64 rounding. */
  readonly rounding: readonly number[] | null;
  /** [31, 8] */
  readonly losses: readonly number[];
  /** [30, 8] */
  readonly steps: readonly number[];
}

const traces = attackFixture<Readonly<Record<string, Trace>>>('apgd-traces');
const steps = 30;

/** The official start x + eps t / |t| of t = 2u - 1, as the random numbers that the attack would have drawn. */
function startDraw({ start_key: key, norm }: Trace, size: number, count: number): Float64Array {
  const u = formulaUniforms(key, 8 * size).slice(0, count * size);
  return Float64Array.from(u, (value) => (norm === 'Linf' ? value : 2 * value - 1));
}

describe('attacks: APGD equals the official code in float64', () => {
  for (const [name, trace] of Object.entries(traces)) {
    const wide = name.startsWith('r20');
    const most = wide ? 8 : 3;
    it(`${name}: losses and step sizes of ${most} images, every step @slow`, async function () {
      if (dataFolder === '' || process.env['LINBP_SLOW'] !== '1') return this.skip();
      this.timeout(600_000);
      const chosen = trace.images.slice(0, most);
      const images = await testImages(trace.set, chosen);
      const size = images.length / most;
      const norm = trace.norm.toLowerCase() as AttackNorm;
      const targeted = trace.targets !== null;
      const loss: AttackLoss = trace.loss === 'ce' ? 'ce' : 'dlr';
      const found: { share: Float64Array }[] = [];
      const attack = await replay(
        {
          model: await trained(trace.model),
          attack: 'apgd',
          norm,
          eps: trace.eps_value,
          steps,
          loss,
          targeted,
          batch: most,
        },
        () => startDraw(trace, size, most),
        (segment, valuesOf) => {
          if (segment === 'step') found.push({ share: valuesOf('stepShare') });
        },
      );
      const result = await attack.run({
        images,
        labels: trace.labels.slice(0, most),
        ...(targeted && { targets: trace.targets.slice(0, most) }),
      });
      attack.destroy();
      const alpha = (norm === 'l1' ? 1 : 2) * trace.eps_value;
      for (let n = 0; n < most; n++) {
        // Where rounding decides a sign, nothing after it can be compared.
        if ((trace.rounding?.[n] ?? 0) > 1e-7) continue;
        for (let k = 0; k <= steps; k++) {
          const expected = trace.losses[8 * k + n]!;
          const loss = (targeted ? -1 : 1) * result.losses[k * most + n]!;
          expect(loss, `image ${chosen[n]}, step ${k}`).to.be.closeTo(expected, 1e-6 * (1 + Math.abs(expected)));
          if (k < steps)
            expect(found[k]!.share[n]! * alpha, `image ${chosen[n]}, step size ${k}`).to.be.closeTo(
              trace.steps[8 * k + n]!,
              1e-6 * alpha,
            );
        }
      }
    });
  }
});
