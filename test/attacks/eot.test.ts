import { expect } from 'chai';
import { attack, attacks, autoAttack } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackName, AttackOptions } from '../../src/attacks/index.js';
import { gradientSamplings, inputTransforms } from '../../src/attacks/transfer.js';
import type { LinbpError } from '../../src/errors.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { replay } from './replay.js';
import { bentModel, eightBitImages, modelWith, numbers, smallWeights } from './support.js';

const [count, side] = [4, 12] as const;
const size = side * side;
const bent = bentModel(side, 3);
const weights = smallWeights(bent, 40);
const model = { definition: bent, weights };
const images = eightBitImages(6, count * size);
const labels = Array.from({ length: count }, (_, n) => n % 3);
const common = { images, labels, eps: 0.1, steps: 2, seed: 3 };

/** The gradient of the first step, in float64, with random numbers by their place among the draws of the step. */
async function firstGradient(
  definition: AttackDefinition,
  eot: number,
  drawn: (number: number, shape: readonly number[], stream: number) => ArrayLike<number>,
  parameters: Readonly<Record<string, number>> = {},
): Promise<{ gradient: Float64Array; draws: number }> {
  let captured: Tensor | undefined;
  let gradient: Float64Array | undefined;
  const rows = new Map<number, number>();
  const keeping = { ...definition, gradient: (_stage: unknown, g: Tensor) => (captured = g) };
  const made = await replay(
    { model, attack: keeping, eps: 0.1, steps: 1, batch: count, eot, parameters },
    ({ attrs }, row) => {
      // draws are told apart by what keys them
      const key = (attrs.step as { step: string }).step;
      const at = row[key]!;
      if (!rows.has(at)) rows.set(at, rows.size);
      return drawn(rows.get(at)!, attrs.shape, attrs.stream);
    },
    (segment, _valuesOf, reference) => {
      if (segment === 'step' || segment === 'move') gradient = Float64Array.from(reference.get(captured!));
    },
  );
  await made.run({ images, labels });
  made.destroy();
  return { gradient: gradient!, draws: rows.size };
}

describe('expectation over transforms', () => {
  const stages: Readonly<Record<string, AttackDefinition>> = {
    noisy: attacks.noisy,
    di: { ...attacks.ifgsm, transforms: [inputTransforms.di] },
    'bsr, two copies, in front of si': {
      ...attacks.ifgsm,
      transforms: [inputTransforms.bsr, inputTransforms.si],
    },
    decowa: { ...attacks.ifgsm, transforms: [inputTransforms.decowa] },
  };
  for (const [name, definition] of Object.entries(stages))
    it(`${name}: the gradient is the mean of the gradients of as many draws`, async () => {
      const parameters = name.startsWith('bsr') ? { shuffles: 2, scales: 2 } : name === 'decowa' ? { warps: 1 } : {};
      const each = name.startsWith('bsr') ? 4 : 1;
      const drawn = (number: number, shape: readonly number[], stream: number): Float32Array =>
        numbers(100 * number + stream, elementCount(shape));
      const { gradient, draws } = await firstGradient(definition, 3, drawn, parameters);
      expect(draws).to.equal(3 * each);
      const mean = new Float64Array(gradient.length);
      for (let draw = 0; draw < 3; draw++) {
        const own = await firstGradient(
          definition,
          1,
          (number, shape, stream) => drawn(draw * each + number, shape, stream),
          parameters,
        );
        own.gradient.forEach((value, i) => (mean[i]! += value / 3));
        expect(Array.from(own.gradient)).to.not.deep.equal(Array.from(gradient));
      }
      gradient.forEach((value, i) => expect(value, `pixel ${i}`).to.be.closeTo(mean[i]!, 1e-12));
    });

  it('PGN is the mean at noisy points and one step down from them, by its share of either', async () => {
    const drawn = (number: number, shape: readonly number[]): Float32Array => numbers(number, elementCount(shape));
    const pgn = { ...attacks.ifgsm, sampling: gradientSamplings.pgn };
    const under = async (share: number): Promise<Float64Array> =>
      (await firstGradient(pgn, 1, drawn, { share, samples: 3, reach: 1 })).gradient;
    const [first, half, second] = [await under(0), await under(0.5), await under(1)];
    const { gradient: noisy } = await firstGradient(attacks.noisy, 3, drawn);
    for (const [i, value] of noisy.entries()) {
      expect(first[i], `pixel ${i}`).to.be.closeTo(value, 1e-12);
      expect(half[i], `pixel ${i}`).to.be.closeTo((first[i]! + second[i]!) / 2, 1e-12);
    }
    expect(Array.from(second)).to.not.deep.equal(Array.from(first));
  });

  it('draws that copies share are not shared by the draws of the expectation', async () => {
    const definition = { ...attacks.ifgsm, transforms: [inputTransforms.admix] };
    const parameters = { admixed: 2, admixScales: 3 };
    const drawn = (number: number, shape: readonly number[]): Float32Array => numbers(number, elementCount(shape));
    expect((await firstGradient(definition, 1, drawn, parameters)).draws).to.equal(2);
    expect((await firstGradient(definition, 4, drawn, parameters)).draws).to.equal(8);
  });

  it('of equal gradients is the gradient', async () => {
    // a transform that draws nothing
    const still: AttackDefinition = { ...attacks.ifgsm, transforms: [{ ...inputTransforms.si, copies: () => 1 }] };
    const drawn = (): Float32Array => new Float32Array(0);
    const once = await firstGradient(still, 1, drawn);
    const often = await firstGradient(still, 7, drawn);
    often.gradient.forEach((value, i) => expect(value, `pixel ${i}`).to.be.closeTo(once.gradient[i]!, 1e-14));
  });

  it('without anything between point and network one gradient is taken: the same bits for the same cost', async () => {
    for (const name of ['pgd', 'apgd', 'apgd-dlr', 'vmi'] as AttackName[]) {
      const options = { ...common, model, device: 'reference', attack: name } as const;
      const [once, often] = [await attack(options), await attack({ ...options, eot: 20 })];
      expect([...often.images], name).to.deep.equal([...once.images]);
      expect([often.gradients, often.forwards], name).to.deep.equal([once.gradients, once.forwards]);
    }
    const rand = await autoAttack({ ...common, model, device: 'reference', version: 'rand' });
    const list = await autoAttack({
      ...{ ...common, model, device: 'reference', version: 'custom', stages: ['apgd-ce', 'apgd-dlr'] },
    });
    expect([...rand.images]).to.deep.equal([...list.images]);
    expect(rand.gradients).to.equal(list.gradients);
    expect(rand.flags.map(({ name }) => name)).to.include('not-randomized');
    expect(list.flags.map(({ name }) => name)).to.not.include('not-randomized');
  });

  it('on the device: as in float64, the same bits for any batch, with the counts of all draws', async () => {
    const device = await modelWith(bent, weights);
    try {
      for (const definition of [
        { ...attacks.ifgsm, name: 'di', transforms: [inputTransforms.di] },
        { ...attacks.apgd, name: 'apgd behind di', transforms: [inputTransforms.di] },
        { ...attacks.mifgsm, name: 'vmi of sia', sampling: gradientSamplings.vmi, transforms: [inputTransforms.sia] },
      ] as AttackDefinition[]) {
        const parameters: Record<string, number> =
          definition.name === 'vmi of sia' ? { samples: 2, structures: 2 } : {};
        const options: AttackOptions & typeof common = { ...common, model: device, attack: definition, parameters };
        const whole = await attack({ ...options, eot: 3 });
        const parts = await attack({ ...options, eot: 3, batch: 3 });
        expect([...whole.images], definition.name).to.deep.equal([...parts.images]);
        const once = await attack(options);
        expect(whole.gradients, definition.name).to.equal(3 * once.gradients);
        expect([...whole.images], definition.name).to.not.deep.equal([...once.images]);
        const reference = await attack({ ...options, model, device: 'reference', eot: 3 });
        const apart = whole.images.filter((pixel, i) => Math.abs(pixel - reference.images[i]!) > 1e-4).length;
        expect(apart / whole.images.length, definition.name).to.be.at.most(0.03);
      }
    } finally {
      device.destroy();
    }
  });

  it('takes a whole number of gradients, and attacks that have any', async () => {
    for (const [more, code] of [
      [{ eot: 0 }, 'bad-range'],
      [{ eot: 1.5 }, 'bad-range'],
      [{ eot: 1001 }, 'bad-range'],
      [{ eot: 2, attack: 'square' }, 'unknown-option'],
    ] as const) {
      const refused = await attack({ ...common, model, device: 'reference', ...more }).catch((error: unknown) => error);
      expect((refused as LinbpError).code, JSON.stringify(more)).to.equal(code);
    }
  });
});
