import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { lacking, slowly } from '../support/slow.js';
import { optionsOf, steps, traces } from './apgdTraces.js';
import type { Trace } from './apgdTraces.js';
import { expectWithin, largestDifference } from './figures.js';
import { attackTensors, dataFolder, replay, testImages, trained } from './replay.js';

/** The official start x + eps t / |t| of t = 2u - 1, as the random numbers that the attack would have drawn. */
function startDraw({ start_key: key, norm }: Trace, size: number, count: number): Float64Array {
  const u = formulaUniforms(key, 8 * size).slice(0, count * size);
  return Float64Array.from(u, (value) => (norm === 'Linf' ? value : 2 * value - 1));
}

/**
 * Where DLR has its label third in L2, what is left of the gradient is 1e-12 beside logits that are rounded to 1e-15,
 * and the length of the next step goes with it. The official code's next loss moves by 2e-5 there in 8 of 60 runs whose
 * weights are perturbed by 3e-16.
 */
const behindThird = 1e-4;

describe('attacks: APGD equals the official code in float64', () => {
  for (const [name, trace] of Object.entries(traces)) {
    for (const most of name === 'adv.linf.ce' ? [1, 8] : [8]) {
      const what = 'losses, step sizes, which are fooled and best points';
      slowly(most === 8 && 'golden', `${name}: ${what} of ${most} images, every step`, 600_000, async () => {
        if (dataFolder === '') return lacking('LINBP_DATA');
        const chosen = trace.images.slice(0, most);
        const labels = trace.labels.slice(0, most);
        const images = await testImages(trace.set, chosen);
        const size = images.length / most;
        const options = optionsOf(trace);
        const shares: Float64Array[] = [];
        const points: Float64Array[] = [];
        let [losses, margins, kept] = [new Float64Array(0), new Float64Array(0), new Float64Array(0)];
        using attack = await replay(
          { model: await trained(trace.model), ...options, batch: most },
          () => startDraw(trace, size, most),
          (segment, valuesOf) => {
            if (segment === 'step') shares.push(valuesOf('stepShare'));
            if (segment === 'start' || segment === 'step') points.push(valuesOf('iterate'));
            if (segment === 'step') kept = new Float64Array(valuesOf('bestPoint'));
            if (segment !== 'finish') return;
            losses = new Float64Array(valuesOf('losses'));
            margins = new Float64Array(valuesOf('margins'));
          },
        );
        const { targeted } = options;
        await attack.run({
          ...{ images, labels },
          ...(targeted && { targets: trace.targets!.slice(0, most) }),
        });
        const tensors = attackTensors('apgd-traces');
        const [accurate, best] = [tensors?.(`${name}.acc`), tensors?.(`${name}.x_best`)];
        const alpha = (trace.norm === 'L1' ? 1 : 2) * trace.eps_value;
        const columns = margins.length / most;
        for (let n = 0; n < most; n++) {
          // Where rounding decides a sign, nothing after it can be compared.
          if ((trace.rounding?.[n] ?? 0) > 1e-7) continue;
          const own: number[] = [];
          let fooled = false;
          for (let k = 0; k <= steps; k++) {
            const [expected, message] = [trace.losses[8 * k + n]!, `image ${chosen[n]}, step ${k}`];
            // the first column is the clean image's
            own.push((targeted ? -1 : 1) * losses[n * columns + 1 + k]!);
            const before = k === 0 ? 0 : trace.losses[8 * (k - 1) + n]!;
            const behind = trace.norm === 'L2' && trace.loss === 'dlr' && Math.abs(before - 1) < 1e-11;
            expectWithin(
              `apgd-traces ${name}.loss${behind ? ' behind a label in third place' : ''}`,
              Math.abs(own[k]! - expected) / (1 + Math.abs(expected)),
              behind ? behindThird : 1e-6,
              message,
            );
            fooled ||= margins[n * columns + 1 + k]! > 0;
            if (accurate !== undefined)
              expectWithin(`apgd-traces ${name}.acc`, Math.abs(Number(!fooled) - accurate[8 * k + n]!), 0, message);
            if (k === steps) break;
            const off = Math.abs((shares[k]![n]! * alpha) / trace.steps[8 * k + n]! - 1);
            expectWithin(`apgd-traces ${name}.step`, off, 1e-6, message);
          }
          if (best === undefined) continue;
          const of = (values: ArrayLike<number>): number[] =>
            Array.from({ length: size }, (_, i) => values[n * size + i]!);
          // the attack looks back at the points before each step, the file at the last one, too
          const [before, last] = [own.slice(0, -1), own.at(-1)!];
          const highest = Math.max(...before);
          const found = points[before.indexOf(highest)]!;
          expectWithin(
            `apgd-traces ${name}: best point kept`,
            largestDifference(of(kept), of(found)),
            0,
            `image ${chosen[n]}`,
          );
          const off = largestDifference(of(last > highest ? points[steps]! : kept), of(best));
          expectWithin(`apgd-traces ${name}.x_best`, off, 1e-6, `image ${chosen[n]}`);
        }
      });
    }
  }
});
