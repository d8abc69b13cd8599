import { expect } from 'chai';
import { Attack, attackNames, attacks } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackName, AttackOptions, AttackResult } from '../../src/attacks/index.js';
import { describeModel } from '../../src/nn/definition.js';
import { evaluate } from '../reference/support.js';
import { ruleGraph, tinyResnet } from '../rules/support.js';
import { formulaWeights, modelWith, numbers } from './support.js';

const count = 3;
const pixels = tinyResnet.input.reduce((product, size) => product * size, 1);
const seed = Math.floor(Math.random() * 1e6);
/** Far enough from 0 and 1 that no step of `eps` is clipped. */
const images = numbers(seed, count * pixels, 0.2, 0.8);
const labels = Int32Array.from({ length: count }, (_, n) => n % tinyResnet.classes);
const targets = labels.map((label) => (label + 1) % tinyResnet.classes);
const eps = 0.1;
const weights = formulaWeights(tinyResnet);

const rules = [
  'linbp',
  'linbp:from=1_1,match=block,lambda=0.5+sgm:gamma=0.4+bpa:from=layer2,tau=3,scale=2',
  'softplus:beta=0.5,match=activation,scope=batch',
  'guided+linbp:from=layer2',
] as const;

/** The gradient of the cross entropy at the clean images under a rule, in float64, made without any attack. */
function gradientUnder(rule: string, classes: ArrayLike<number>): Float64Array {
  const built = ruleGraph(tinyResnet, { rule, batch: count });
  built.feeds.set(built.images, images).set(built.labels, Uint32Array.from(classes));
  return evaluate(built.graph, [...built.feeds]).get(built.gradient) as Float64Array;
}

describe('attacks under any rule', () => {
  const reference = (options: Partial<AttackOptions>): AttackOptions => ({
    model: { definition: tinyResnet, weights },
    device: 'reference',
    eps,
    batch: count,
    seed,
    keep: 'last',
    ...options,
  });

  async function attacked(options: AttackOptions): Promise<AttackResult> {
    using attack = await Attack.compile(options);
    return await attack.run({ images, labels, ...(options.targeted === true && { targets }) });
  }

  // Attacks with an objective of their own, or without a first step along one gradient, have tests of their own.
  const gradientAttacks = (attackNames as AttackName[]).filter((name) => {
    const { plan, sampling, transforms, rankedTargets, defaultLoss }: AttackDefinition = attacks[name];
    return [plan, sampling, transforms, rankedTargets, defaultLoss].every((each) => each === undefined);
  });
  const plainQuery = gradientAttacks.filter((name) => !['difgsm', 'mdi2fgsm', 'noisy', 'tifgsm', 'ti'].includes(name));

  const normsOf = (name: AttackName): ('linf' | 'l2')[] => {
    const { norms }: AttackDefinition = attacks[name];
    return (['linf', 'l2'] as const).filter((norm) => norms?.includes(norm) ?? true);
  };

  for (const rule of rules) {
    it(`${rule}: the first step of ${plainQuery.join(', ')} goes along its gradient, targeted too`, async () => {
      for (const attack of plainQuery) {
        for (const targeted of [false, true]) {
          const gradient = gradientUnder(rule, targeted ? targets : labels);
          const sign = targeted ? -1 : 1;
          for (const norm of normsOf(attack)) {
            const result = await attacked(
              reference({ attack, rules: rule, norm, steps: 1, alpha: eps, randomStart: false, targeted }),
            );
            for (let n = 0; n < count; n++) {
              const own = gradient.subarray(n * pixels, (n + 1) * pixels);
              const length = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
              own.forEach((value, i) => {
                const moved = result.images[n * pixels + i]! - images[n * pixels + i]!;
                const expected = norm === 'linf' ? eps * Math.sign(value) : (eps * value) / length;
                expect(moved, `${attack} ${norm} ${targeted}, sample ${n}, pixel ${i}, seed ${seed}`).to.be.closeTo(
                  sign * expected,
                  1e-6,
                );
              });
            }
          }
        }
      }
    });
  }

  it('every attack, norm, loss and aim runs under a mix of all kinds of rules and stays inside @slow', async () => {
    for (const attack of gradientAttacks) {
      for (const norm of normsOf(attack)) {
        for (const loss of ['ce', 'margin', 'dlr'] as const) {
          for (const targeted of [false, true]) {
            const result = await attacked(
              reference({ attack, norm, loss, targeted, rules: rules[1], ...(attack !== 'fgsm' && { steps: 2 }) }),
            );
            for (let n = 0; n < count; n++) {
              const moves = Array.from(
                result.images.subarray(n * pixels, (n + 1) * pixels),
                (pixel, i) => pixel - images[n * pixels + i]!,
              );
              const size =
                norm === 'linf'
                  ? Math.max(...moves.map(Math.abs))
                  : Math.sqrt(moves.reduce((sum, move) => sum + move * move, 0));
              // Float64 images are rounded to float32 when they are read.
              expect(size, `${attack} ${norm} ${loss} ${targeted}, seed ${seed}`).to.be.within(1e-6, eps + 1e-7);
            }
            expect(result.images.every((pixel) => pixel >= 0 && pixel <= 1)).to.equal(true);
          }
        }
      }
    }
  });

  it('the same on the device @slow', async function () {
    this.timeout(300_000);
    using model = await modelWith(tinyResnet, weights);
    expect(describeModel(tinyResnet).branches.length).to.equal(4);
    for (const attack of ['mdi2fgsm', 'apgd'] as const) {
      const options = { attack, rules: rules[1], steps: 2, norm: 'l2' } as const;
      const [device, wanted] = [
        await attacked({ ...reference(options), model, device: 'gpu' }),
        await attacked(reference(options)),
      ];
      device.images.forEach((pixel, i) =>
        expect(pixel, `${attack}, pixel ${i}, seed ${seed}`).to.be.closeTo(wanted.images[i]!, 1e-4),
      );
    }
  });
});
