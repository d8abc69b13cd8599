import { expect } from 'chai';
import { attack, Attack, attacks } from '../../src/attacks/index.js';
import type { AttackDefinition } from '../../src/attacks/index.js';
import { splineValues } from '../../src/attacks/decowa.js';
import { cosineMatrix, resizeMatrix } from '../../src/attacks/imageTransforms.js';
import { gradientSamplings, inputTransforms } from '../../src/attacks/transfer.js';
import { bentModel, eightBitImages, modelWith, smallWeights } from './support.js';

type TransformName = keyof typeof inputTransforms;
const names = Object.keys(inputTransforms) as TransformName[];
const [count, side] = [5, 12] as const;
const size = side * side;
const bent = bentModel(side, 3);
const weights = smallWeights(bent, 40);
const images = eightBitImages(6, count * size);
const labels = Array.from({ length: count }, (_, n) => n % 3);
/** Few copies of each transform. */
const few: Partial<Record<TransformName, Record<string, number>>> = {
  si: { scales: 2 },
  admix: { admixed: 2, admixScales: 2 },
  ssa: { spectra: 2 },
  bsr: { shuffles: 2 },
  sia: { structures: 2 },
  decowa: { warps: 2 },
  translate: { translations: 2 },
};
/** Gradients of a step with them. */
const copies: Record<TransformName, number> = {
  di: 1,
  'di-nearest': 1,
  si: 2,
  admix: 4,
  ssa: 2,
  bsr: 2,
  sia: 2,
  decowa: 4,
  translate: 2,
};
const options = { images, labels, eps: 0.1, steps: 2, seed: 3 };
const with_ = (name: TransformName): AttackDefinition => ({
  ...attacks.mifgsm,
  name,
  transforms: [inputTransforms[name]],
});

describe('transforms of attacks that transfer', () => {
  it('on the device as in float64, the same bits for any batch, and counted', async () => {
    const model = await modelWith(bent, weights);
    try {
      for (const name of names) {
        const own = { attack: with_(name), parameters: few[name] ?? {} };
        const [whole, parts] = [
          await attack({ ...options, ...own, model }),
          await attack({ ...options, ...own, model, batch: 3 }),
        ];
        expect([...whole.images], name).to.deep.equal([...parts.images]);
        expect(whole.gradients, name).to.equal(count * options.steps * copies[name]);
        const host = { definition: bent, weights };
        const reference = await attack({ ...options, ...own, model: host, device: 'reference' });
        const apart = whole.images.filter((pixel, i) => Math.abs(pixel - reference.images[i]!) > 1e-4).length;
        expect(apart / whole.images.length, name).to.be.at.most(0.03);
        const plain = await attack({ ...options, model: host, device: 'reference', attack: 'mifgsm' });
        expect([...reference.images], name).to.not.deep.equal([...plain.images]);
      }
    } finally {
      model.destroy();
    }
  });

  it('Admix on a part of the images is that on all of them, with the partners of all', async () => {
    const model = { definition: bent, weights };
    const own = { model, device: 'reference', attack: with_('admix'), parameters: few.admix!, eps: 0.1 } as const;
    const whole = await attack({ ...options, ...own });
    const part = (first: number, size: number) => ({
      images: images.subarray(first * size, images.length),
      labels: labels.slice(first),
      sampleIds: Uint32Array.from({ length: count - first }, (_, n) => first + n),
    });
    const rest = { ...options, ...own, ...part(2, size) };
    const alike = await attack({ ...rest, partners: { images, labels } });
    expect([...alike.images]).to.deep.equal([...whole.images.subarray(2 * size)]);
    expect([...(await attack(rest)).images]).to.not.deep.equal([...alike.images]);
  });

  it('without any strength they are MI: the same images', async () => {
    const model = { definition: bent, weights };
    const plain = await attack({ ...options, model, device: 'reference', attack: 'mifgsm' });
    for (const [name, parameters] of [
      ['si', { scales: 1 }],
      ['admix', { admixed: 1, admixScales: 1, strength: 0 }],
      ['di', { probability: 0 }],
      ['ssa', { spectra: 1, rho: 0, sigma: 0 }],
      ['translate', { translations: 3, pixels: 0 }],
      ['decowa', { warps: 2, warpScale: 0, warpRate: 0 }],
    ] as const) {
      const { images: made } = await attack({
        ...options,
        model,
        device: 'reference',
        attack: with_(name),
        parameters,
      });
      made.forEach((pixel, i) => expect(pixel, `${name}, pixel ${i}`).to.be.closeTo(plain.images[i]!, 1e-6));
    }
  });

  it('behind others SSA has their gradient: without any strength it adds nothing', async () => {
    const model = { definition: bent, weights };
    const still = { spectra: 1, rho: 0, sigma: 0 };
    for (const name of names.filter((each) => each !== 'ssa')) {
      const made = await Promise.all(
        [[], [inputTransforms.ssa]].map((more) => {
          const definition = { ...with_(name), transforms: [inputTransforms[name], ...more] };
          const parameters = { ...few[name], ...(more.length > 0 && still) };
          return attack({
            ...options,
            model,
            device: 'reference',
            steps: 1,
            norm: 'l2',
            attack: definition,
            parameters,
          });
        }),
      );
      made[1]!.images.forEach((pixel, i) =>
        expect(pixel, `${name}, pixel ${i}`).to.be.closeTo(made[0]!.images[i]!, 1e-6),
      );
    }
  });

  it('the DCT is orthonormal, resizing keeps constants, and the spline is 1 in the middle and 0 at the edges', () => {
    const cosines = cosineMatrix(6);
    for (let a = 0; a < 6; a++)
      for (let b = 0; b < 6; b++) {
        let sum = 0;
        for (let n = 0; n < 6; n++) sum += cosines[a * 6 + n]! * cosines[b * 6 + n]!;
        expect(sum).to.be.closeTo(a === b ? 1 : 0, 1e-12);
      }
    const matrix = resizeMatrix(8, 11);
    for (let row = 0; row < 11; row++)
      expect(matrix.slice(row * 8, row * 8 + 8).reduce((a, b) => a + b, 0)).to.be.closeTo(1, 1e-12);
    const [w, affine] = [splineValues().slice(0, 9), splineValues().slice(9)];
    for (let point = 0; point < 9; point++) {
      const [y, x] = [Math.floor(point / 3) - 1, (point % 3) - 1];
      let sum = affine[0]! + affine[1]! * y + affine[2]! * x;
      for (let k = 0; k < 9; k++) {
        const square = (y - Math.floor(k / 3) + 1) ** 2 + (x - (k % 3) + 1) ** 2;
        sum += w[k]! * square * Math.log(square + 1e-9);
      }
      expect(sum).to.be.closeTo(point === 4 ? 1 : 0, 1e-9);
    }
  });

  it('integrated gradients of MIG sum to what the objective rises by from a black image', async () => {
    const samples = 200;
    const definition: AttackDefinition = {
      ...attacks.ifgsm,
      name: 'mig',
      sampling: gradientSamplings.mig,
      gradient(stage, g) {
        stage.graph.output('integrated', g);
        return g;
      },
    };
    const model = { definition: bent, weights };
    const compiled = { model, attack: definition, device: 'reference', eps: 0.1, steps: 1, batch: count } as const;
    const made = await Attack.compile({ ...compiled, loss: 'margin', parameters: { samples } });
    const { samples: results } = await made.run({ images, labels });
    const { attack: built, executor } = await made.executor(count);
    const integrated = await executor.read(built.graph.outputs.get('integrated')!);
    const black = await attack({
      images: new Float32Array(count * size),
      labels,
      model,
      device: 'reference',
      attack: 'ifgsm',
      eps: 0.1,
      steps: 1,
      loss: 'margin',
    });
    for (let n = 0; n < count; n++) {
      const sum = integrated.slice(n * size, (n + 1) * size).reduce((a, b) => a + b, 0);
      expect(sum, `image ${n}`).to.be.closeTo(results[n]!.cleanLoss - black.samples[n]!.cleanLoss, 0.02);
    }
    made.destroy();
  });
});
