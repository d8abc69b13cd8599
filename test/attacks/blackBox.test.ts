import { expect } from 'chai';
import { attack } from '../../src/attacks/index.js';
import type { LinbpError } from '../../src/errors.js';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { describeModel } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';
import { relativeError } from '../support/compare.js';
import { lacking, slowly } from '../support/slow.js';
import { expectWithin, largestDifference } from './figures.js';
import { attackTensors, dataFolder, replay, testImages, testLabels, trained } from './replay.js';
import { linearModel, modelWith, numbers } from './support.js';

const [count, side] = [5, 6] as const;
const size = side * side;
const linear = linearModel([1, side, side], 2);
const weights: StateDict = new Map(
  describeModel(linear).layout.specs.map(({ name, shape }, index) => {
    const values = shape.reduce((product, each) => product * each, 1);
    return [name, { shape, data: numbers(30 + index, values, -0.5, 0.5) }];
  }),
);
const images = numbers(4, count * size, 0.3, 0.7);
const w = weights.get('fc.weight')!.data;
const b = weights.get('fc.bias')!.data;
const lead = (pixels: Float32Array, n: number): number => {
  let sum = b[0]! - b[1]!;
  for (let i = 0; i < size; i++) sum += (w[i]! - w[size + i]!) * pixels[n * size + i]!;
  return sum;
};
const labels = Array.from({ length: count }, (_, n) => (lead(images, n) > 0 ? 0 : 1));
const model = { definition: linear, weights };

describe('attacks by queries alone', () => {
  it('simba on a linear model takes exactly the moves that lower the lead, and counts what it asks', async () => {
    const steps = size;
    const result = await attack({
      ...{ model, device: 'reference', attack: 'simba', norm: 'linf', eps: 0.01, steps, images, labels },
      parameters: { amount: 0.01 },
    });
    for (let n = 0; n < count; n++) {
      const sign = labels[n] === 0 ? 1 : -1;
      const own = result.samples[n]!;
      if (own.success) continue;
      for (let i = 0; i < size; i++) {
        const moved = result.images[n * size + i]! - images[n * size + i]!;
        expect(moved, `image ${n}, pixel ${i}`).to.be.closeTo(-sign * Math.sign(w[i]! - w[size + i]!) * 0.01, 1e-6);
      }
      // the start, one query for pixels that go up, two for those that go down
      const down = Array.from({ length: size }, (_, i) => result.images[n * size + i]! < images[n * size + i]!);
      expect(own.queries, `image ${n}`).to.equal(1 + size + down.filter(Boolean).length);
    }
    expect(result.samples.some(({ success }) => !success)).to.equal(true);
  });

  it('square refuses more channels in linf than its signs have bits', async () => {
    const run = async (channels: number, norm: 'linf' | 'l2'): Promise<unknown> => {
      const definition = linearModel([channels, 3, 3], 2);
      const { specs } = describeModel(definition).layout;
      const own: StateDict = new Map(
        specs.map(({ name, shape }) => [
          name,
          {
            shape,
            data: numbers(
              7,
              shape.reduce((product, each) => product * each, 1),
              -0.5,
              0.5,
            ),
          },
        ]),
      );
      const given = { model: { definition, weights: own }, images: numbers(9, 9 * channels, 0.3, 0.7), labels: [0] };
      return attack({ ...given, device: 'reference', attack: 'square', norm, eps: 0.01, steps: 3 });
    };
    const refused = await run(25, 'linf').catch((error: unknown) => error);
    expect((refused as LinbpError).code).to.equal('bad-shape');
    expect((refused as LinbpError).message).to.contain('at most 24 channels, got 25');
    await Promise.all([run(24, 'linf'), run(25, 'l2')]);
  });

  it('spsa and nes lower the lead, stop asking where an image fools, with the same bits for any batch', async () => {
    const device = await modelWith(linear, weights);
    try {
      for (const [name, parameters] of [
        ['spsa', { directions: 8, rate: 0.02 }],
        ['nes', { directions: 8 }],
        ['simba', {}],
        ['square', {}],
      ] as const) {
        const options = {
          model: device,
          attack: name,
          eps: 0.2,
          steps: 12,
          images,
          labels,
          parameters,
          norm: 'linf',
        } as const;
        const [whole, parts] = [await attack(options), await attack({ ...options, batch: 2 })];
        expect([...whole.images], name).to.deep.equal([...parts.images]);
        expect(whole.gradients, name).to.equal(0);
        whole.samples.forEach(({ queries, success }, n) => {
          const sign = labels[n] === 0 ? 1 : -1;
          expect(sign * lead(whole.images, n), `${name}, image ${n}`).to.be.below(sign * lead(images, n) + 1e-6);
          const most = { spsa: 12 * 17, nes: 12 * 17, simba: 25, square: 13 }[name];
          expect(queries, `${name}, image ${n}`).to.be.within(1, most);
          if (success && name !== 'spsa' && name !== 'nes') expect(queries, `${name}, ${n}`).to.be.at.most(most);
          if (!success && name !== 'simba') expect(queries, `${name}, image ${n}`).to.equal(most);
          expect(queries, name).to.equal(parts.samples[n]!.queries);
        });
      }
    } finally {
      device.destroy();
    }
  });

  slowly('golden', 'spsa: estimate, margins and images of five steps are those of the reference', 900_000, async () => {
    if (dataFolder === '') return lacking('LINBP_DATA');
    const chosen = [0, 1, 2, 3];
    const [pixels, directions] = [28 * 28, 16];
    const [clean, truth] = [await testImages('mnist', chosen), await testLabels('mnist', chosen)];
    let [step, pair] = [-1, 0];
    let estimate: Float64Array | undefined;
    const margins: Float64Array[] = [];
    let logged: Float64Array = new Float64Array(0);
    let final: Float64Array = new Float64Array(0);
    using made = await replay(
      {
        ...{ model: await trained('lenet5-clntrained'), attack: 'spsa', eps: 0.2, steps: 5, batch: 4 },
        parameters: { directions, width: 0.01, rate: 0.01 },
      },
      () => {
        const all = formulaUniforms(`spsa.a.${step}`, directions * 4 * pixels);
        return all.subarray(pair * 4 * pixels, (pair + 1) * 4 * pixels);
      },
      (segment, valuesOf, reference) => {
        if (segment === 'move') estimate ??= valuesOf('estimate');
        if (segment === 'finish') final = valuesOf('iterate');
        if (segment === 'evaluate') logged = valuesOf('margins');
        if (segment !== 'look') return;
        const margin = reference.graph.nodes.find((node) => node.segment === 'look' && node.op === 'loss')!;
        margins.push(Float64Array.from(reference.get(margin.outputs[0]!)));
      },
      (segment) => {
        if (segment === 'look') [step, pair] = [step + 1, -1];
        if (segment === 'pair') pair++;
      },
    );
    const result = await made.run({ images: clean, labels: truth });
    const given = attackTensors('spsa');
    if (given !== undefined) {
      const float32 = 2 ** -24;
      // there the label's lead falls, here its opposite rises
      const lengths = relativeError(
        estimate!.map((value) => -value),
        given('grad.0'),
      );
      expectWithin('spsa grad.0', lengths, float32 + 1e-9, 'first estimate');
      // of the clean images, the result and the result in 8 bits the second
      const last = chosen.map((_, n) => logged[3 * n + 1]!);
      const all = [...margins.flatMap((values) => [...values]), ...last].map((value) => -value);
      for (const [i, margin] of given('margin').entries())
        expectWithin('spsa margin', Math.abs(all[i]! / margin - 1), float32 + 1e-9, `step ${i >> 2}, image ${i % 4}`);
      expectWithin('spsa final', largestDifference(final, given('final')), 2 ** -25 + 1e-9, 'final images');
    }
    // sums of squares of the reference's final images
    const expected = [58.8138914, 96.5167314, 30.3819283, 127.4453224];
    expected.forEach((square, n) => {
      const own = result.images.subarray(n * pixels, (n + 1) * pixels);
      expect(own.reduce((sum, pixel) => sum + pixel * pixel, 0) / square, `image ${n}`).to.be.closeTo(1, 1e-6);
    });
  });
});
