import { expect } from 'chai';
import { Attack } from '../../src/attacks/index.js';
import type { AttackName, AttackOptions, AttackResult } from '../../src/attacks/index.js';
import type { LinbpError } from '../../src/errors.js';
import { positionTable } from '../../src/nn/definition.js';
import type { Model } from '../../src/nn/model.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { itInHalf } from '../precision/support.js';
import { bentModel, eightBitImages, modelWith, predicted, smallWeights } from './support.js';

const [count, size, steps] = [16, 36, 8] as const;
const bent = bentModel(6, 5);
const weights = smallWeights(bent, 70);
const images = eightBitImages(8, count * size);

describe('attacks: fooled images leave the batch inside a run', () => {
  let model: Model;
  let labels: number[];
  before(async () => {
    model = await modelWith(bent, weights);
    labels = await predicted(model, images);
    labels[2] = (labels[2]! + 1) % 5;
  });
  after(() => model.destroy());

  const run = async (options: Partial<AttackOptions>, compactEvery?: number): Promise<AttackResult> => {
    using attack = await Attack.compile({
      ...{ model, eps: 0.054, steps, batch: count, seed: 3, keep: 'best', stopAtSuccess: true },
      ...options,
    });
    // What an earlier run left behind must not show.
    const turned = images.map((pixel) => 1 - pixel);
    if (compactEvery !== undefined) await attack.run({ images: turned, labels, compactEvery });
    return await attack.run({ images, labels, ...(compactEvery !== undefined && { compactEvery }) });
  };

  const cases: readonly (readonly [string, Partial<AttackOptions>, slow?: boolean])[] = [
    ['apgd-ce', { attack: 'apgd-ce' as AttackName }],
    ['apgd-ce in L2, two restarts', { attack: 'apgd-ce' as AttackName, norm: 'l2', eps: 0.27, restarts: 2 }],
    [
      'apgd-ce in L1, with larger radii first',
      { attack: 'apgd-ce' as AttackName, norm: 'l1', eps: 0.84, shrinkRadius: true },
      true,
    ],
    ['apgd-t', { attack: 'apgd-t' as AttackName, rankedTargets: 4 }],
    ['square', { attack: 'square' as AttackName, eps: 0.25, steps: 60 }],
    ['square in L2', { attack: 'square' as AttackName, norm: 'l2', eps: 0.9, steps: 60 }, true],
    ['apgd-ce in f16', { attack: 'apgd-ce' as AttackName, precision: 'f16' }, true],
    ['square in f16', { attack: 'square' as AttackName, eps: 0.25, steps: 60, precision: 'f16' }],
  ];
  for (const [title, options, slow = false] of cases)
    (options.precision === 'f16' ? itInHalf : it)(
      `${title}: the same bits for less work, however often it is looked${slow ? ' @slow' : ''}`,
      async () => {
        const whole = await run(options);
        const fooled = whole.samples.filter(({ robustCorrect }) => !robustCorrect).length;
        // so many that there is something to leave out, and not all
        expect(fooled).to.be.within(count / 2, count - 1);
        for (const every of [1, 3, 1000]) {
          const compact = await run(options, every);
          expect([...compact.images], `images, ${every}`).to.deep.equal([...whole.images]);
          expect(compact.samples, `samples, ${every}`).to.deep.equal(whole.samples);
          expect([...compact.losses], `losses, ${every}`).to.deep.equal([...whole.losses]);
          expect(compact.curve, `curve, ${every}`).to.deep.equal(whole.curve);
          if (every < 1000) expect(compact.forwards).to.be.below(whole.forwards);
          // Images that are wrong from the start are seen at the first look.
          else expect(compact.forwards).to.be.at.most(whole.forwards);
          expect(compact.forwards).to.equal(compact.passes.reduce((sum, { forwards }) => sum + forwards, 0));
          if (every < 1000)
            for (const [n, { gradients }] of compact.passes.entries())
              if (compact.samples[n]!.robustCorrect)
                expect(gradients, `image ${n}`).to.equal(whole.passes[n]!.gradients);
        }
      },
    );

  it('towards targets: logs hold what they held when the target was reached, not any wrong class', async () => {
    const targets = labels.map((label, n) => (label + 1 + (n % 4)) % 5);
    const of = async (stopAtSuccess: boolean, compactEvery?: number): Promise<AttackResult> => {
      using attack = await Attack.compile({
        ...{ model, eps: 0.25, steps, batch: count, seed: 3, keep: 'best', targeted: true, stopAtSuccess },
      });
      return await attack.run({ images, labels, targets, ...(compactEvery !== undefined && { compactEvery }) });
    };
    const [on, stopped] = [await of(false), await of(true)];
    const steppedTo = on.samples.map(({ firstStep }) => firstStep ?? steps);
    expect(steppedTo.filter((step) => step === steps).length, 'images that stay').to.be.within(1, count - 2);
    expect(on.samples.some(({ finalClass, label, target }) => finalClass !== label && finalClass !== target)).to.equal(
      true,
    );
    for (const [n, reached] of steppedTo.entries())
      for (let step = 0; step <= steps; step++) {
        const at = Math.min(step, reached) * count + n;
        expect(stopped.losses[step * count + n], `image ${n}, step ${step}`).to.equal(on.losses[at]);
      }
    const compact = await of(true, 2);
    expect([...compact.losses]).to.deep.equal([...stopped.losses]);
    expect(compact.samples).to.deep.equal(stopped.samples);
    expect(compact.gradients).to.be.below(stopped.gradients);
    // The gradient of a step also tells whether the iterate before it succeeds; looks are after gradients 1, 3, 5, ...
    for (const [n, { gradients }] of compact.passes.entries()) {
      const { firstStep } = compact.samples[n]!;
      const seen = firstStep === null ? steps : 1 + 2 * Math.ceil(firstStep / 2);
      expect(gradients, `image ${n}`).to.equal(Math.min(steps, seen));
    }
  });

  it('under rules with scope=batch no image may leave, however the rules are given', async () => {
    const text = 'softplus:beta=2,from=all,match=activation,scope=batch';
    const selected = resolveRules(parseRules(text), positionTable(bent));
    for (const rules of [text, selected]) {
      const refused = await run({ attack: 'apgd-ce', rules }, 1).catch((error: unknown) => error);
      const { code, field } = refused as LinbpError;
      expect([code, field]).to.deep.equal(['bad-argument', 'compactEvery']);
    }
    const alone = text.replace('batch', 'sample');
    expect((await run({ attack: 'apgd-ce', rules: alone }, 1)).count).to.equal(count);
  });

  it('ends as soon as all are fooled; attacks that go on after a success run on all; no step of 0', async () => {
    const options = { attack: 'apgd-ce' as AttackName, eps: 0.2 };
    const [whole, compact] = [await run(options), await run(options, 2)];
    expect(whole.robustCorrect).to.equal(0);
    expect([...compact.images]).to.deep.equal([...whole.images]);
    expect(compact.gradients).to.be.at.most(count * 4);
    expect(whole.gradients).to.equal(count * steps);
    expect((await run({ ...options, stopAtSuccess: false }, 2)).gradients).to.equal(count * steps);
    const refused = await run(options, 0).catch((error: unknown) => error);
    expect((refused as LinbpError).code).to.equal('bad-range');
  });
});
