import { expect } from 'chai';
import { attack, accuracy, argmax, initialState, Model, modelDefinition, predict, wgslRule } from '../../src/index.js';
import type { LinbpError } from '../../src/index.js';
import { sharedDevice } from '../support/device.js';

describe('predict, argmax and accuracy', () => {
  const definition = modelDefinition('lenet5');
  const weights = initialState(definition, 3);
  const size = 28 * 28;
  const images = Float32Array.from({ length: 5 * size }, (_, i) => ((i * 7919) % 256) / 255);

  async function refusal(work: () => Promise<unknown>): Promise<string> {
    try {
      await work();
    } catch (error) {
      return (error as LinbpError).code;
    }
    return 'nothing';
  }

  it('argmax gives the first largest of each row, and -1 where a value is not finite', () => {
    expect([...argmax([1, 3, 3, -5, -9, -7, NaN, 1, 2, Infinity, 1, 2], 3)]).to.deep.equal([1, 0, -1, -1]);
    expect(() => argmax([1, 2, 3], 2)).to.throw('no rows of 2');
    expect(() => argmax([1], 0)).to.throw('classes');
  });

  it('accuracy is the share of equal classes', () => {
    expect(accuracy(Int32Array.of(1, 2, -1, 4), [1, 2, 3, 5])).to.equal(0.5);
    expect(() => accuracy([], [])).to.throw('at least one');
    expect(() => accuracy([1], [1, 2])).to.throw('labels');
  });

  it('predict gives the argmax of the logits for any batch, on the device and on the reference', async () => {
    const model = Model.create(definition, { device: await sharedDevice() });
    try {
      model.setStateDict(weights);
      const expected = [...argmax(await model.logits(images), 10)];
      const shares: number[] = [];
      const onProgress = (share: number): void => void shares.push(share);
      expect([...(await predict(model, images, { batch: 2, onProgress }))]).to.deep.equal(expected);
      expect(shares).to.deep.equal([0.4, 0.8, 1]);
      expect([...(await predict(model, images, { device: 'reference' }))]).to.deep.equal(expected);
      const host = { definition, weights };
      expect([...(await predict(host, images, { device: 'reference', batch: 3 }))]).to.deep.equal(expected);
    } finally {
      model.destroy();
    }
  });

  it('predict refuses what it cannot do before any work, and stops where the signal fires', async () => {
    const host = { definition, weights };
    expect(await refusal(() => predict(host, images))).to.equal('bad-argument');
    expect(await refusal(() => predict(host, images.subarray(1), { device: 'reference' }))).to.equal('bad-shape');
    expect(await refusal(() => predict(host, images, { device: 'reference', batch: 0 }))).to.equal('bad-range');
    expect(await refusal(() => predict(host, images, { device: 'reference', precision: 'f16' }))).to.equal(
      'bad-argument',
    );
    const signal = AbortSignal.abort();
    expect(await refusal(() => predict(host, images, { device: 'reference', signal }))).to.equal('aborted');
  });

  it('logits tell how far they are and stop between batches, and the model goes on working', async () => {
    using model = Model.create(definition, { device: await sharedDevice() });
    model.setStateDict(weights);
    const whole = await model.logits(images);
    const shares: number[] = [];
    const parts = await model.logits(images, { batch: 2, onProgress: (share) => void shares.push(share) });
    expect(parts).to.deep.equal(whole);
    expect(shares).to.deep.equal([0.4, 0.8, 1]);
    const abort = new AbortController();
    const seen: number[] = [];
    const onProgress = (share: number): void => {
      seen.push(share);
      abort.abort();
    };
    const { signal } = abort;
    expect(await refusal(() => model.logits(images, { batch: 2, signal, onProgress }))).to.equal('aborted');
    expect(seen).to.deep.equal([0.4]);
    expect(await model.logits(images)).to.deep.equal(whole);
  });

  it('an attack knows rules of its caller by name', async () => {
    const half = wgslRule({
      name: 'half',
      wgsl: 'fn rule(g: f32, d: f32, z: f32, p: RuleParams) -> f32 { return 0.5 * g * d; }',
      saves: 'mask',
      reference: (g, d) => 0.5 * g * d,
    });
    const host = { definition, weights };
    const labels = await predict(host, images, { device: 'reference' });
    const run = {
      model: host,
      device: 'reference',
      images,
      labels: [...labels],
      eps: 0.1,
      steps: 1,
      attack: 'fgsm',
    } as const;
    const own = await attack({ ...run, rules: 'half', userRules: [half] });
    const bp = await attack(run);
    // A factor of every layer's gradient changes no sign.
    expect(own.images).to.deep.equal(bp.images);
    expect(await refusal(() => attack({ ...run, rules: 'half' }))).to.equal('unknown-rule');
  });
});
