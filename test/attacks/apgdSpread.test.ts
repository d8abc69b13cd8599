import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import { innerRadius } from '../../src/attacks/schedule.js';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { lacking, slowly } from '../support/slow.js';
import { optionsOf, steps, traces } from './apgdTraces.js';
import type { Trace } from './apgdTraces.js';
import { expectWithin } from './figures.js';
import { attackFixture, attackTensors, dataFolder, onDevice, testImages } from './replay.js';
import { pending } from '../support/pending.js';

/** How often rounding parts the reference code in float32 from its own trace in float64. */
interface Spread {
  readonly runs: number;
  /** In how many runs each image parts. */
  readonly parts: readonly number[];
  /** The most images that part in one run. */
  readonly most: number;
}

const { parted, spread } = attackFixture<{
  /** Beyond this deviation an image has parted from its trace. */
  readonly parted: number;
  readonly spread: Readonly<Record<string, Spread>>;
}>('apgd-spread');

/** Of each image the largest deviation of its losses from those of the trace, over all steps. */
const deviations = (losses: ArrayLike<number>, trace: Trace, sign: 1 | -1): number[] =>
  trace.images.map((_, n) => {
    let most = 0;
    for (let k = 0; k <= steps; k++) {
      const expected = trace.losses[8 * k + n]!;
      const off = Math.abs(sign * losses[8 * k + n]! - expected) / (1e-3 + Math.abs(expected));
      if (!(off <= most)) most = off;
    }
    return most;
  });

const partedImages = (off: readonly number[]): number[] => off.flatMap((each, n) => (each > parted ? [n] : []));

/** The official start before the box: x + eps t / |t| of t = 2u - 1, with an L1 ball x + t. */
function startOf({ start_key: key, norm, eps_value: eps, images: { length: count } }: Trace, images: Float32Array) {
  const t = formulaUniforms(key, images.length).map((u) => 2 * u - 1);
  const size = images.length / count;
  const lengths = Array.from({ length: count }, (_, n) => {
    const own = t.subarray(n * size, (n + 1) * size);
    if (norm === 'L1') return eps;
    return norm === 'L2' ? Math.hypot(...own) : own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  });
  return images.map((pixel, i) => pixel + (eps * t[i]!) / lengths[Math.floor(i / size)]!);
}

describe('attacks: APGD on the device stays within the rounding of the official code', () => {
  it('of which the float32 run of the file is one', function () {
    const tensors = attackTensors('apgd-traces');
    if (tensors === undefined) return pending(this, 'the golden files beside LINBP_DATA');
    for (const [name, trace] of Object.entries(traces)) {
      const { most, parts } = spread[name]!;
      const apart = partedImages(deviations(tensors(`${name}.loss_f32`), trace, 1));
      expect(apart.length, name).to.be.at.most(most);
      for (const n of apart) expect(parts[n], `${name}: image ${trace.images[n]}`).to.be.above(0);
    }
  });

  for (const [name, trace] of Object.entries(traces)) {
    const title = `${name}: which images part from their trace`;
    slowly(true, title, 600_000, async () => {
      if (dataFolder === '') return lacking('LINBP_DATA');
      const { eps_value: eps, norm } = trace;
      const images = await testImages(trace.set, trace.images);
      const [labels, targets] = [trace.labels, trace.targets ?? undefined];
      const options = { ...optionsOf(trace), randomStart: false, batch: labels.length };
      const model = await onDevice(trace.model);
      try {
        using attack = await Attack.compile({ model, ...options });
        const { losses } = await attack.run({
          ...{ images, labels, ...(targets && { targets }), start: startOf(trace, images) },
          // The device's ball is smaller by the roundings of an image, the reference code's is not.
          ...{ eps: 2 * eps - innerRadius(attack.settings), alpha: (norm === 'L1' ? 1 : 2) * eps },
        });
        const off = deviations(losses, trace, targets === undefined ? 1 : -1);
        const { most, parts } = spread[name]!;
        const apart = partedImages(off);
        // One more run of the reference would part about as many images, and hardly two that none did before.
        expectWithin(`apgd-traces ${name}, device, parted`, apart.length, most + 1, String(off));
        const newly = apart.filter((n) => parts[n] === 0);
        expectWithin(`apgd-traces ${name}, device, newly parted`, newly.length, 1, String(off));
      } finally {
        model.destroy();
      }
    });
  }
});
