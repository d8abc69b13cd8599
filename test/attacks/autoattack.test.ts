import { expect } from 'chai';
import { stageSeed } from '../../src/attacks/autoattack.js';
import { attack, autoAttack } from '../../src/attacks/index.js';
import type { AutoAttackOptions, AutoAttackState } from '../../src/attacks/index.js';
import type { LinbpError } from '../../src/errors.js';
import type { BackwardSelection } from '../../src/graph/backward.js';
import { positionTable } from '../../src/nn/definition.js';
import type { Model } from '../../src/nn/model.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { bentModel, eightBitImages, modelWith, predicted, smallWeights } from './support.js';

const [count, size] = [9, 36] as const;
const bent = bentModel(6, 5);
const weights = smallWeights(bent, 70);
const images = eightBitImages(8, count * size);

describe('AutoAttack', () => {
  let model: Model;
  let labels: number[];
  before(async () => {
    model = await modelWith(bent, weights);
    labels = await predicted(model, images);
    // one image is wrong from the start
    labels[2] = (labels[2]! + 1) % 5;
  });
  after(() => model.destroy());

  /** Few steps and queries, where a stage takes them. */
  const run = (options: Partial<AutoAttackOptions> = {}) => {
    const { norm, version, stages = ['apgd-ce', ...(version === 'rand' ? [] : ['square'])] } = options;
    const squares = norm !== 'l1' && stages.includes('square');
    const few = { ...(squares && { queries: 15 }), ...(stages.some((name) => name !== 'square') && { steps: 6 }) };
    return autoAttack({ model, images, labels, eps: 0.04, seed: 1, ...few, ...options });
  };

  it('stages in order, each on what was left; which broke each image; one verdict for any batch', async () => {
    const result = await run();
    expect(result.stages.map(({ name }) => name)).to.deep.equal(['apgd-ce', 'apgd-t', 'fab-t', 'square']);
    expect(result.stages[0]!.attacked).to.equal(count);
    for (const [k, stage] of result.stages.entries()) {
      if (k > 0) expect(stage.attacked).to.equal(result.stages[k - 1]!.robustCorrect);
      expect(stage.robustAccuracy).to.equal(stage.robustCorrect / count);
    }
    expect(result.brokenBy[2]).to.equal('clean');
    expect(result.robustCorrect).to.equal(result.brokenBy.filter((each) => each === null).length);
    expect(result.robustCorrect).to.equal(result.stages.at(-1)!.robustCorrect);
    expect(result.cleanCorrect).to.equal(count - 1);
    const wrong = await predicted(model, result.images);
    result.brokenBy.forEach((stage, n) => {
      expect(wrong[n] === labels[n], `image ${n}, ${String(stage)}`).to.equal(stage === null);
      const own = result.images.subarray(n * size, (n + 1) * size);
      own.forEach((pixel, i) => expect(Math.abs(pixel - images[n * size + i]!)).to.be.at.most(0.04));
      if (stage === null) expect([...own]).to.deep.equal([...images.subarray(n * size, (n + 1) * size)]);
    });
    expect(result.brokenBy).to.include('apgd-ce');
    const parts = await run({ batch: 4 });
    expect(parts.brokenBy).to.deep.equal(result.brokenBy);
    expect([...parts.images]).to.deep.equal([...result.images]);
    // Passes of an image do not depend on its batch either, and their sums are those of the stages and of the battery.
    expect(parts.passes).to.deep.equal(result.passes);
    for (const of of ['gradients', 'forwards'] as const) {
      expect(result[of]).to.equal(result.passes.reduce((sum, each) => sum + each[of], 0));
      expect(result[of]).to.equal(result.stages.reduce((sum, each) => sum + each[of], 0));
    }
    result.brokenBy.forEach((stage, n) => {
      const { gradients } = result.passes[n]!;
      // APGD's 6 steps, toward 4 targets, and FAB's 6 for each of them; an image that leaves has none after that.
      if (stage === null || stage === 'square') expect(gradients, `image ${n}`).to.equal(6 * (1 + 4 + 4));
      else expect(gradients, `image ${n}`).to.be.at.most(stage === 'clean' ? 0 : stage === 'apgd-ce' ? 6 : 6 * 9);
    });
  });

  it('resumes behind any batch to the same bits, from plain JSON; refuses the state of another battery', async () => {
    const states: string[] = [];
    const whole = await run({ batch: 4, onState: (state) => states.push(JSON.stringify(state)) });
    expect(states.length).to.be.above(whole.stages.length);
    for (const at of [0, Math.floor(states.length / 2), states.length - 1]) {
      const resume = JSON.parse(states[at]!) as AutoAttackState;
      const rest = await run({ batch: 4, resume });
      expect(rest.brokenBy, `state ${at}`).to.deep.equal(whole.brokenBy);
      expect([...rest.images], `state ${at}`).to.deep.equal([...whole.images]);
      expect([rest.gradients, rest.forwards]).to.deep.equal([whole.gradients, whole.forwards]);
      // Its seconds are those of the whole, too.
      const before = [...resume.stages, resume].reduce((sum, { seconds }) => sum + seconds, 0);
      expect(rest.seconds).to.be.at.least(before);
      expect(rest.imageGradientsPerSecond).to.equal(rest.gradients / rest.seconds);
      expect(rest.stages.reduce((sum, { seconds }) => sum + seconds, 0)).to.be.closeTo(rest.seconds, 1e-9);
      expect(rest.passes).to.deep.equal(whole.passes);
      expect(rest.stages.map((stage) => ({ ...stage, seconds: 0 }))).to.deep.equal(
        whole.stages.map((stage) => ({ ...stage, seconds: 0 })),
      );
      const weights = new Map(
        [...(await model.stateDict())].map(([name, each]) => [name, { ...each, data: each.data.map((w) => -w) }]),
      );
      using other = await modelWith(model.definition, weights);
      for (const changes of [
        { eps: 0.05 },
        { rules: 'bp:from=act' },
        { model: other },
        { device: 'reference' as const },
      ]) {
        const refused = await run({ batch: 4, resume, ...changes }).catch((error: unknown) => error);
        expect((refused as LinbpError).code, Object.keys(changes).join()).to.equal('bad-argument');
      }
    }
  });

  const together = 'linbp:from=all,match=activation,scope=batch';
  const chosen = (text: string): BackwardSelection => resolveRules(parseRules(text), positionTable(bent));

  it('under a rule with scope=batch resumes with the same batch only, also if a function chose it @slow', async () => {
    for (const rules of [together, chosen(together)]) {
      const states: AutoAttackState[] = [];
      await run({ batch: 4, rules, onState: (state) => states.push(state) });
      const resume = states.at(-1)!;
      await run({ batch: 4, rules, resume });
      const refused = await run({ batch: 5, rules, resume }).catch((error: unknown) => error);
      expect((refused as LinbpError).message).to.contain('with scope=batch, its batch');
    }
  });

  it('a state of one function of rules is refused by another', async () => {
    const states: AutoAttackState[] = [];
    await run({ steps: 2, rules: chosen('leaky:a=0.5'), onState: (state) => states.push(state) });
    const resume = states.at(-1)!;
    await run({ steps: 2, rules: chosen('leaky:a=0.5'), resume });
    for (const other of ['leaky:a=0.25', 'bp']) {
      const refused = await run({ steps: 2, rules: chosen(other), resume }).catch((error: unknown) => error);
      expect((refused as LinbpError).code, other).to.equal('bad-argument');
    }
  });

  it('under a rule with scope=batch images that are broken stay in the batch, and it is said', async () => {
    const [plain, all] = [await run({ rules: together }), await run({ rules: together, compact: false })];
    expect(plain.brokenBy.some((by) => by !== null && by !== 'clean')).to.equal(true);
    expect(plain.stages.map(({ attacked }) => attacked)).to.deep.equal([count, count, count, count]);
    expect([...plain.images]).to.deep.equal([...all.images]);
    for (const { flags } of [plain, all]) expect(flags.map(({ name }) => name)).to.include('depends-on-batch');
    expect((await run()).flags.map(({ name }) => name)).to.not.include('depends-on-batch');
    const refused = await run({ rules: together, compact: true }).catch((error: unknown) => error);
    const { code, field } = refused as LinbpError;
    expect([code, field]).to.deep.equal(['bad-argument', 'compact']);
  });

  it('a stage that is named twice is refused, as it would draw the same numbers again', async () => {
    const stages = ['apgd-ce', 'fab-t', 'apgd-ce'] as const;
    const refused = await run({ version: 'custom', stages }).catch((error: unknown) => error);
    expect((refused as LinbpError).message).to.contain('stages name apgd-ce twice');
  });

  it('without compaction every stage runs on all images, with the same result to the bit', async () => {
    const [compacted, all] = [await run(), await run({ compact: false })];
    expect(all.brokenBy).to.deep.equal(compacted.brokenBy);
    expect([...all.images]).to.deep.equal([...compacted.images]);
    expect(all.stages.map(({ attacked }) => attacked)).to.deep.equal([count, count, count, count]);
    expect(all.flags).to.deep.equal(compacted.flags);
    expect(all.gradients).to.be.above(compacted.gradients);
  });

  it('stages draw numbers of their own, the same whatever stages come before', async () => {
    const names = ['apgd-ce', 'apgd-dlr', 'apgd-t', 'fab', 'fab-t', 'square'] as const;
    for (const seed of [0, 1, 2 ** 32 - 1])
      expect(new Set([seed, ...names.map((name) => stageSeed(seed, name))]).size).to.equal(names.length + 1);
    // In L2, whose points are not corners that different starts lead to.
    const ball = { norm: 'l2', eps: 0.2 } as const;
    const after = await run({ ...ball, queries: 1, version: 'custom', stages: ['square', 'apgd-t'] });
    const alone = await run({ ...ball, version: 'custom', stages: ['apgd-t'] });
    expect(after.brokenBy).to.include('apgd-t');
    for (const [n, by] of after.brokenBy.entries()) {
      if (by !== 'apgd-t') continue;
      const own = (pixels: Float32Array): number[] => [...pixels.subarray(n * size, (n + 1) * size)];
      expect(own(after.images), `image ${n}`).to.deep.equal(own(alone.images));
    }
    const direct = await attack({
      ...{ ...ball, model, images, labels, steps: 6, attack: 'apgd-t', rankedTargets: 4, keep: 'best' },
      ...{ stopAtSuccess: true, seed: stageSeed(1, 'apgd-t') },
    });
    expect(direct.samples.some(({ robustCorrect }, n) => !robustCorrect && n !== 2)).to.equal(true);
    for (const [n, by] of alone.brokenBy.entries()) {
      const own = (pixels: Float32Array): number[] => [...pixels.subarray(n * size, (n + 1) * size)];
      if (by === 'apgd-t') expect(own(alone.images), `image ${n}`).to.deep.equal(own(direct.images));
    }
    const refused = await run({ seed: -1 }).catch((error: unknown) => error);
    expect((refused as LinbpError).code).to.equal('bad-range');
  });

  it("plus and rand do not go on from a list of their stages; L1 has 5 targets of APGD and FAB's 9 @slow", async () => {
    const states: AutoAttackState[] = [];
    const rand = { norm: 'l2', eps: 0.2, steps: 2 } as const;
    await run({ ...rand, version: 'rand', onState: (state) => states.push(state) });
    const stages = ['apgd-ce', 'apgd-dlr'] as const;
    const refused = await run({ ...rand, version: 'custom', stages, resume: states[0]! }).catch(
      (error: unknown) => error,
    );
    expect((refused as LinbpError).code).to.equal('bad-argument');
    const wide = bentModel(6, 12);
    using other = await modelWith(wide, smallWeights(wide, 70));
    const own = await predicted(other, images.subarray(0, size));
    const l1 = { model: other, images: images.subarray(0, size), labels: own, norm: 'l1', eps: 0.01 } as const;
    const found = await run({ ...l1, version: 'custom', stages: ['apgd-t', 'fab-t'], steps: 2 });
    // Each of FAB's steps is a gradient, each of APGD's, too.
    expect(found.stages.map(({ gradients }) => gradients)).to.deep.equal([2 * 5, 2 * 9]);
  });

  it('in L1, plus and rand have the restarts, targets and radius of the official code @slow', async () => {
    const wide = bentModel(6, 12);
    using other = await modelWith(wide, smallWeights(wide, 70));
    const image = images.subarray(0, size);
    const own = await predicted(other, image);
    const l1 = { model: other, images: image, labels: own, norm: 'l1', eps: 0.01, steps: 3, compact: false } as const;
    const costs = async (options: Partial<AutoAttackOptions>) =>
      (await run({ ...l1, ...options })).stages.map(({ name, gradients, forwards }) => [name, gradients, forwards]);
    // Forward passes besides gradients: three, and one at the end of each radius.
    const ranks = 11;
    expect(await costs({ version: 'rand' })).to.deep.equal([
      ['apgd-ce', 3, 3 + 1 + 3],
      ['apgd-dlr', 3, 3 + 1 + 3],
    ]);
    expect(await costs({ version: 'plus' })).to.deep.equal([
      ['apgd-ce', 5 * 3, 5 * (3 + 1) + 3],
      ['apgd-dlr', 5 * 3, 5 * (3 + 1) + 3],
      ['fab', 5 * 3 * ranks, 5 * 3 * (ranks + 1) + 3],
      ['apgd-t', 9 * 3, 9 * (3 + 1) + 3],
      ['fab-t', 9 * 3, 9 * 3 * 2 + 3],
    ]);
    expect(await costs({})).to.deep.equal([
      ['apgd-ce', 5 * 3, 5 * (3 + 3) + 3],
      ['apgd-t', 5 * 3, 5 * (3 + 3) + 3],
      ['fab-t', 9 * 3, 9 * 3 * 2 + 3],
    ]);
  });

  it('says which class it returns, also of images that are wrong from the start', async () => {
    const others = labels.map((label) => (label + 1) % 5);
    for (const stages of [['fab'], ['square']] as const) {
      const result = await run({ labels: others, eps: 0.5, version: 'custom', stages });
      expect(result.brokenBy).to.include('clean');
      const own = result.samples.map(({ finalClass }) => finalClass);
      expect(own).to.deep.equal(await predicted(model, result.images));
    }
  });

  it('images, labels and ids are checked before any work', async () => {
    for (const [code, field, wrong] of [
      ['bad-shape', 'images', { images: images.subarray(0, size + 1) }],
      ['bad-shape', 'images', { images: new Float32Array(0), labels: [] }],
      ['bad-dtype', 'images', { images: undefined }],
      ['bad-dtype', 'images', { images: null }],
      ['bad-shape', 'labels', { labels: [...labels, 1] }],
      ['bad-shape', 'sampleIds', { sampleIds: [1] }],
    ] as const) {
      const before = { ...model.device.counters };
      const refused = await run(wrong as unknown as Partial<AutoAttackOptions>).catch((error: unknown) => error);
      const { code: found, field: about } = refused as LinbpError;
      expect([found, about], String(refused)).to.deep.equal([code, field]);
      expect(model.device.counters).to.deep.equal(before);
    }
  });

  it('L1 has no Square and says so; other stages only as version custom', async () => {
    const l1 = await run({ norm: 'l1', eps: 1, version: 'custom', stages: ['apgd-ce', 'fab-t', 'square'] });
    expect(l1.stages.map(({ name }) => name)).to.deep.equal(['apgd-ce', 'fab-t']);
    expect(l1.flags.map(({ name }) => name)).to.include('no-l1-square');
    const rand = await run({ norm: 'l1', eps: 1, steps: 1, version: 'rand' });
    expect(rand.flags.map(({ name }) => name)).to.not.include('no-l1-square');
    const alone = { norm: 'l1', eps: 1, version: 'custom', stages: ['square'] } as const;
    for (const [option, wrong] of [
      ['queries', { norm: 'l1', eps: 1, queries: 5 }],
      ['queries', { version: 'custom', stages: ['fab'], queries: 5 }],
      ['steps', { version: 'custom', stages: ['square'], steps: 5 }],
      ['loss', { version: 'custom', stages: ['apgd-t', 'square'], loss: 'ce-rounded' }],
    ] as const) {
      const refused = await run(wrong).catch((error: unknown) => error);
      expect([(refused as LinbpError).code, (refused as LinbpError).field]).to.deep.equal(['unknown-option', option]);
    }
    for (const wrong of [{ stages: ['square'] }, alone] as const) {
      const refused = await run(wrong).catch((error: unknown) => error);
      expect([(refused as LinbpError).code, (refused as LinbpError).field]).to.deep.equal(['bad-argument', 'stages']);
    }
  });
});
