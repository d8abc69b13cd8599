import { expect } from 'chai';
import { Attack, attack as attackOnce, attacks } from '../../src/attacks/index.js';
import type { AttackOptions, AttackRun, ObjectiveStage } from '../../src/attacks/index.js';
import { LinbpError } from '../../src/errors.js';
import type { Model } from '../../src/nn/model.js';
import { fromArrays } from '../../src/data/dataset.js';
import { linearModel, modelWith, numbers } from './support.js';

async function refusal(work: () => Promise<unknown>): Promise<LinbpError> {
  try {
    await work();
  } catch (error) {
    expect(error, String(error)).to.be.instanceOf(LinbpError);
    return error as LinbpError;
  }
  throw new Error('nothing was refused');
}

const weights = (classes: number) =>
  new Map([
    ['fc.weight', { shape: [classes, 4], data: numbers(1, 4 * classes, -1, 1) }],
    ['fc.bias', { shape: [classes], data: numbers(2, classes) }],
  ]);

describe('attacks: bad input', () => {
  let model: Model;
  before(async () => {
    model = await modelWith(linearModel([1, 2, 2], 5), weights(5));
  });
  after(() => model.destroy());

  const options: [string, Partial<AttackOptions>, string][] = [
    ['bad-range', { eps: -0.1 }, 'eps'],
    ['bad-range', { eps: NaN }, 'eps'],
    ['bad-range', { eps: 8 }, 'eps'],
    ['bad-range', { eps: Infinity, norm: 'l2' }, 'eps'],
    ['bad-range', { alpha: -1 }, 'alpha'],
    ['bad-range', { alpha: NaN }, 'alpha'],
    ['bad-range', { steps: 0 }, 'steps'],
    ['bad-range', { steps: 2.5 }, 'steps'],
    ['bad-range', { attack: 'fgsm', steps: 3 }, 'steps'],
    ['bad-range', { restarts: 0 }, 'restarts'],
    ['bad-argument', { restarts: 2, randomStart: false }, 'restarts'],
    ['bad-argument', { restarts: 2, attack: 'ifgsm' }, 'restarts'],
    ['unknown-option', { restarts: 2, attack: 'square' }, 'restarts'],
    ['unknown-option', { restarts: 2, attack: 'cw', norm: 'l2', randomStart: true }, 'restarts'],
    ['unknown-option', { randomStart: false, attack: 'square' }, 'randomStart'],
    ['unknown-option', { randomStart: true, attack: 'deepfool' }, 'randomStart'],
    ['unknown-option', { alpha: 0.01, attack: 'fab-t' }, 'alpha'],
    ['unknown-option', { alpha: 0.01, attack: 'spsa' }, 'alpha'],
    ['unknown-option', { loss: 'dlr', attack: 'ead' }, 'loss'],
    ['unknown-option', { loss: 'ce', attack: 'square' }, 'loss'],
    ['unknown-option', { keep: 'last', attack: 'deepfool' }, 'keep'],
    ['unknown-option', { decay: 0.5, attack: 'fmn' }, 'decay'],
    ['unknown-option', { decay: 0.5, attack: 'pgd' }, 'decay'],
    ['unknown-option', { eot: 3, attack: 'simba' }, 'eot'],
    ['bad-argument', { stopAtSuccess: true, attack: 'cw' }, 'stopAtSuccess'],
    ['bad-argument', { stopAtSuccess: true, attack: 'ifgsm' }, 'stopAtSuccess'],
    ['bad-argument', { shrinkRadius: true, norm: 'l1', attack: 'pgd' }, 'shrinkRadius'],
    ['bad-argument', { shrinkRadius: true, norm: 'l2', attack: 'apgd' }, 'shrinkRadius'],
    ['bad-argument', { rankedTargets: 2, attack: 'pgd' }, 'rankedTargets'],
    ['bad-range', { batch: 0 }, 'batch'],
    ['bad-range', { seed: -1 }, 'seed'],
    ['bad-range', { decay: -1, attack: 'mifgsm' }, 'decay'],
    ['unknown-option', { attack: 'pdg' as 'pgd' }, 'attack'],
    ['unknown-option', { attack: 'toString' as 'pgd' }, 'attack'],
    ['unknown-option', { norm: 'l7' as 'l2' }, 'norm'],
    ['unknown-option', { loss: 'mse' as 'ce' }, 'loss'],
    ['unknown-option', { keep: 'first' as 'best' }, 'keep'],
    ['unknown-option', { device: 'tpu' as 'gpu' }, 'device'],
    ['unknown-rule', { rules: 'nonsense' }, 'rule'],
    ['unknown-layer', { rules: 'linbp:from=nowhere' }, 'from'],
  ];
  for (const [code, wrong, field] of options) {
    it(`${JSON.stringify(wrong)} is ${code}`, async () => {
      const before = { ...model.device.counters };
      const error = await refusal(() => Attack.compile({ model, eps: 0.1, ...wrong }));
      expect([error.code, error.field]).to.deep.equal([code, field]);
      expect(model.device.counters).to.deep.equal(before);
    });
  }

  it('too few classes for a loss', async () => {
    const two = { definition: linearModel([1, 2, 2], 2), weights: weights(2) };
    const one = { definition: linearModel([1, 2, 2], 1), weights: weights(1) };
    for (const [small, loss] of [
      [two, 'dlr'],
      [one, 'margin'],
      [one, 'ce'],
    ] as const) {
      const error = await refusal(() => Attack.compile({ model: small, device: 'reference', eps: 0.1, loss }));
      expect([error.code, error.field]).to.deep.equal(['bad-range', 'loss']);
    }
  });

  const images = numbers(3, 8);
  const fine: AttackRun = { images, labels: [0, 1] };
  const spoiled = (value: number): Float32Array => images.map((pixel, i) => (i === 5 ? value : pixel));
  const runs: [string, AttackRun, string, boolean?][] = [
    ['bad-range', { ...fine, labels: [0, 5] }, 'labels'],
    ['bad-range', { ...fine, labels: [0, -1] }, 'labels'],
    ['bad-range', { ...fine, labels: [0, 0.5] }, 'labels'],
    ['bad-shape', { ...fine, labels: [0] }, 'labels'],
    ['bad-argument', { images }, 'labels'],
    ['bad-range', { ...fine, images: spoiled(1.01) }, 'images'],
    ['bad-range', { ...fine, images: spoiled(-0.01) }, 'images'],
    ['bad-range', { ...fine, images: spoiled(NaN) }, 'images'],
    ['bad-shape', { ...fine, images: images.subarray(1) }, 'images'],
    ['bad-shape', { ...fine, images: new Float32Array(0) }, 'images'],
    ['bad-dtype', { ...fine, images: [0, 1] as unknown as Float32Array }, 'images'],
    [
      'bad-shape',
      { images: fromArrays({ shape: [1, 1, 4, 1], classes: 5, images: new Uint8Array(4), labels: new Uint8Array(1) }) },
      'images',
    ],
    ['bad-argument', { ...fine, targets: [1, 2] }, 'targets'],
    ['bad-argument', fine, 'targets', true],
    ['bad-argument', { ...fine, targets: [1, 1] }, 'targets', true],
    ['bad-range', { ...fine, targets: [1, 7] }, 'targets', true],
    ['bad-shape', { ...fine, sampleIds: [1] }, 'sampleIds'],
    ['bad-range', { ...fine, sampleIds: [1, -1] }, 'sampleIds'],
    ['bad-shape', { ...fine, start: images.subarray(4) }, 'start'],
    ['bad-range', { ...fine, start: spoiled(Infinity) }, 'start'],
    ['bad-range', { ...fine, eps: 2 }, 'eps'],
    ['bad-range', { ...fine, alpha: -2 }, 'alpha'],
    ['bad-range', { ...fine, seed: 0.5 }, 'seed'],
  ];
  it('images, labels and targets', async () => {
    const compile = (targeted: boolean): Promise<Attack> =>
      Attack.compile({ model, attack: 'ifgsm', eps: 0.1, batch: 2, targeted });
    using plain = await compile(false);
    using targeted = await compile(true);
    const before = { ...model.device.counters };
    for (const [code, wrong, field, aims] of runs) {
      const error = await refusal(() => (aims === true ? targeted : plain).run(wrong));
      expect([error.code, error.field], error.message).to.deep.equal([code, field]);
    }
    expect(model.device.counters, 'work done').to.deep.equal(before);
    await plain.run(fine);
  });

  it('no model and no images in one call', async () => {
    for (const [code, field, wrong] of [
      ['bad-dtype', 'images', { ...fine, images: undefined }],
      ['bad-dtype', 'images', { ...fine, images: null }],
      ['bad-argument', 'model', { ...fine, model: undefined }],
      ['bad-argument', 'model', { ...fine, model: {} }],
    ] as const) {
      const error = await refusal(() =>
        attackOnce({ model, eps: 0.1, ...wrong } as unknown as Parameters<typeof attackOnce>[0]),
      );
      expect([error.code, error.field]).to.deep.equal([code, field]);
    }
  });

  it('a start for an attack that starts at random', async () => {
    using attack = await Attack.compile({ model, attack: 'pgd', eps: 0.1, batch: 2 });
    const { field, message } = await refusal(() => attack.run({ ...fine, start: images }));
    expect([field, message]).to.deep.equal([
      'start',
      'start says where the attack begins; it needs randomStart: false',
    ]);
    using own = await Attack.compile({ model, attack: 'deepfool', steps: 2, batch: 2 });
    expect((await refusal(() => own.run({ ...fine, start: images }))).field).to.equal('start');
  });

  it('a step size of one run for an attack that has none', async () => {
    using attack = await Attack.compile({ model, attack: 'fab', steps: 2, batch: 2 });
    const { code, field, message } = await refusal(() => attack.run({ ...fine, alpha: 0.01 }));
    expect([code, field]).to.deep.equal(['unknown-option', 'alpha']);
    expect(message).to.equal('fab has no option "alpha"; it has eps, steps, restarts');
  });

  it('host weights on the device, an aborted run, a destroyed attack', async () => {
    const host = { definition: model.definition, weights: weights(5) };
    expect((await refusal(() => Attack.compile({ model: host, eps: 0.1 }))).field).to.equal('model');
    for (const device of ['gpu', 'reference'] as const) {
      const attack = await Attack.compile({ model, eps: 0.1, steps: 500, batch: 2, device });
      expect((await refusal(() => attack.run({ ...fine, signal: AbortSignal.abort() }))).code).to.equal('aborted');
      const controller = new AbortController();
      const late = attack.run({
        ...fine,
        signal: controller.signal,
        chunkMilliseconds: 0.1,
        onProgress: () => controller.abort(),
      });
      expect((await refusal(() => late)).code).to.equal('aborted');
      await attack.run(fine);
      attack.destroy();
      attack.destroy();
      expect((await refusal(() => attack.run(fine))).code).to.equal('disposed');
    }
  });

  it('an objective that is not a loss', async () => {
    const objective: ObjectiveStage = (stage, logits, labels) => {
      const loss = attacks.ifgsm.objective(stage, logits, labels);
      return stage.graph.one('add', [loss, loss], {});
    };
    expect(
      (await refusal(() => Attack.compile({ model, eps: 0.1, attack: { ...attacks.ifgsm, name: 'odd', objective } })))
        .field,
    ).to.equal('objective');
  });
});
