import { expect } from 'chai';
import type { AttackName, AttackNorm } from '../../src/attacks/index.js';
import { apart, attackFixture, attackTensors, dataFolder, replay, testImages, testLabels, trained } from './replay.js';

interface Result {
  readonly set: string;
  readonly images: readonly number[];
  readonly parameters: Readonly<Record<string, number>>;
  readonly norm: 'Linf' | 'L2' | 'L1' | 'L0';
  readonly distance: readonly (number | null)[];
  readonly elastic_net?: readonly number[];
  readonly float64_rounding_relative_difference?: readonly number[];
  readonly fooled: number;
}
type Results = Readonly<Record<string, Readonly<Record<string, Result>>>>;

/** Each main reference, and our names for its parameters. */
const attacksOf: readonly (readonly [string, AttackName, (p: Result['parameters']) => Record<string, number>])[] = [
  ['deepfool-l2', 'deepfool', (p) => ({ candidates: p['candidates']!, overshoot: p['overshoot']! })],
  ['deepfool-linf', 'deepfool', (p) => ({ candidates: p['candidates']!, overshoot: p['overshoot']! })],
  ['ddn', 'ddn', (p) => ({ gamma: p['gamma']!, initialRadius: p['init_epsilon']! })],
  ...(['fmn-l2', 'fmn-linf', 'fmn-l1'] as const).map(
    (name) =>
      [name, 'fmn', (p: Result['parameters']) => ({ gamma: p['gamma']!, largestStep: p['max_stepsize']! })] as const,
  ),
  [
    'cw-l2',
    'cw',
    (p) => ({ rounds: p['binary_search_steps']!, rate: p['stepsize']!, initialConstant: p['initial_const']! }),
  ],
  ...(['ead-en', 'ead-l1'] as const).map(
    (name) =>
      [
        name,
        'ead',
        (p: Result['parameters']) => ({
          ...{ rounds: p['binary_search_steps']!, initialConstant: p['initial_const']! },
          ...{
            firstStep: p['initial_stepsize']!,
            regularization: p['regularization']!,
            byL1: name === 'ead-l1' ? 1 : 0,
          },
        }),
      ] as const,
  ),
];

const fixture = attackFixture<Results>('minimal-norm');

/**
 * How far final images may be apart where distances are firm, as a share of the change. FMN's distance is a radius of
 * its schedule, so it says nothing about the pixels inside, which depend on rounding.
 */
const imageTolerance = (name: string): number => (name.startsWith('fmn') ? 2e-3 : 2e-5);

describe('attacks for the smallest perturbation equal the reference codes in float64', () => {
  for (const [name, attack, parameters] of attacksOf) {
    for (const [model, result] of Object.entries(fixture[name] ?? {})) {
      for (const count of [...(model.startsWith('mlp') ? [1] : []), result.images.length]) {
        const slow = count > 1 || !['ddn', 'fmn-linf'].includes(name);
        it(`${name}, ${model}: distances of ${count} images${slow ? ' @slow' : ''}`, async function () {
          if (dataFolder === '' || (slow && process.env['LINBP_SLOW'] === undefined)) return this.skip();
          this.timeout(1_800_000);
          const chosen = result.images.slice(0, count);
          let found: Float64Array = new Float64Array(0);
          const made = await replay(
            {
              ...{ model: await trained(model), attack, norm: result.norm.toLowerCase() as AttackNorm },
              ...{ parameters: parameters(result.parameters), steps: result.parameters['steps']!, batch: count },
            },
            () => [],
            (segment, valuesOf) => {
              if (segment === 'end') found = valuesOf('distance');
            },
          );
          const images = await testImages(result.set, chosen);
          const { images: adversarial } = await made.run({ images, labels: await testLabels(result.set, chosen) });
          const expected = name === 'ead-en' ? result.elastic_net! : result.distance;
          const firm = result.float64_rounding_relative_difference;
          let compared = 0;
          for (let n = 0; n < count; n++) {
            const message = `image ${chosen[n]}`;
            const wanted = expected[n] ?? undefined;
            // started from the clean image FMN may come to the boundary from inside: then only whether it crosses
            // counts
            if (wanted === undefined) expect(found[n], message).to.be.at.least(1e9);
            else if (firm === undefined || firm[n]! < 1e-7) {
              expect(found[n]! / wanted, message).to.be.closeTo(1, 1e-6);
              compared++;
            }
          }
          if (name !== 'fmn-l2') expect(compared).to.be.above(0);
          // the first two images are in the file
          const given = attackTensors('minimal-norm')?.(`${name}.${model}.adv`);
          if (given === undefined) return;
          for (const { image, share } of apart(adversarial, given, images, {
            size: images.length / count,
            count: Math.min(2, count),
          }))
            if (expected[image] !== null && (firm === undefined || firm[image]! < 1e-7))
              expect(share, `final image ${chosen[image]}`).to.be.below(imageTolerance(name));
        });
      }
    }
  }
});
