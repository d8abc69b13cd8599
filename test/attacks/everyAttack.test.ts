import { expect } from 'chai';
import { Attack, attackNames, attacks } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackName, AttackNorm, AttackOptions, AttackResult } from '../../src/attacks/index.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { Model, StateDict } from '../../src/nn/model.js';
import { slowly } from '../support/slow.js';
import { eightBitImages, modelWith, numbers, predicted } from './support.js';

// 64 = 9 * 7 + 1: a batch of 7 leaves one image for a batch of 1.
const [count, classes, side] = [64, 5, 8] as const;
const size = side * side;
const small: ModelDefinition = {
  name: 'small',
  input: [1, side, side],
  classes,
  build: (net, x) => net.linear('fc', net.flatten(net.relu('act', net.conv('conv', x, 3, 3, { padding: 1 }))), classes),
};
const weights: StateDict = new Map(
  describeModel(small).layout.specs.map(({ name, shape }, index) => {
    const values = shape.reduce((product, each) => product * each, 1);
    return [name, { shape, data: numbers(20 + index, values, -0.5, 0.5) }];
  }),
);
const images = eightBitImages(9, count * size);
// the borders of the box must be met
for (let i = 0; i < images.length; i += 5) images[i] = i % 2;

/** Few samples, copies and rounds. */
const few: Readonly<Record<string, number>> = {
  ...{ samples: 2, scales: 2, admixed: 2, admixScales: 2, spectra: 2, shuffles: 2, structures: 2, warps: 1 },
  ...{ rounds: 2, directions: 2, targets: 2, candidates: 3, initialConstant: 10, firstStep: 0.05 },
};

interface Case {
  readonly attack: AttackName;
  readonly norm: AttackNorm;
  readonly rules: string;
  readonly targeted: boolean;
}

const definitionOf = (name: AttackName): AttackDefinition => attacks[name];

/** Every attack in each of its norms, under the true gradient and LinBP, with and without targets. */
const cases = (attackNames as AttackName[]).flatMap((attack) => {
  const { norms, sampling, rankedTargets, plan } = definitionOf(attack);
  const aims = rankedTargets === undefined && plan?.targeted !== false ? [false, true] : [false];
  return (norms ?? sampling?.norms ?? (['linf', 'l2', 'l1'] as const)).flatMap((norm) =>
    ['bp', 'linbp:from=all'].flatMap((rules) => aims.map((targeted): Case => ({ attack, norm, rules, targeted }))),
  );
});

/** What runs every time: each kind of attack once. */
const fast = new Set(
  ['pgd linf', 'apgd l1', 'apgd-t l2', 'square l2', 'fab-t linf', 'ddn l2', 'vmi linf', 'bsr l2', 'simba linf'].map(
    (each) => `${each} ${each.startsWith('vmi') || each.startsWith('apgd ') ? 'linbp:from=all' : 'bp'}`,
  ),
);

const radii = { linf: 16 / 255, l2: 0.7, l1: 3 } as const;
const lengths: Readonly<Record<AttackNorm, (moves: readonly number[]) => number>> = {
  linf: (moves) => moves.reduce((most, move) => Math.max(most, Math.abs(move)), 0),
  l2: (moves) => Math.hypot(...moves),
  l1: (moves) => moves.reduce((sum, move) => sum + Math.abs(move), 0),
};
const bytes = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
const own = (values: Float32Array, n: number): Float32Array => values.subarray(n * size, (n + 1) * size);

function expectInside({ images: made, images8 }: AttackResult, norm: AttackNorm, moves: boolean): void {
  const eps = radii[norm];
  let moved = 0;
  for (let n = 0; n < count; n++) {
    const pixels = [...own(made, n)];
    expect(pixels.every((pixel) => pixel >= 0 && pixel <= 1)).to.equal(true);
    const length = lengths[norm](pixels.map((pixel, i) => pixel - images[n * size + i]!));
    expect(length, `image ${n}`).to.be.at.most(eps);
    if (length > 0) moved++;
    const levels = [...images8.subarray(n * size, (n + 1) * size)].map(
      (level, i) => level - Math.round(255 * images[n * size + i]!),
    );
    // in whole levels, so that nothing is rounded
    expect(lengths[norm](levels), `image ${n} in 8 bits`).to.be.at.most(255 * eps * (1 + 1e-12));
  }
  if (moves) expect(moved, 'images moved').to.be.above(0);
}

describe('every attack, norm, rule and aim', () => {
  let model: Model;
  let labels: Int32Array;
  let targets: Int32Array;
  before(async () => {
    model = await modelWith(small, weights);
    labels = Int32Array.from(await predicted(model, images));
    targets = labels.map((label) => (label + 2) % classes);
  });
  after(() => model.destroy());

  for (const { attack, norm, rules, targeted } of cases) {
    const definition = definitionOf(attack);
    const parameters = Object.assign(
      {},
      definition.parameters,
      definition.sampling?.parameters,
      ...(definition.transforms ?? []).map((transform) => transform.parameters),
    ) as object;
    const options: Omit<AttackOptions, 'batch'> = {
      ...{ attack, norm, rules, targeted, eps: radii[norm], seed: 11 },
      parameters: Object.fromEntries(Object.entries(few).filter(([name]) => name in parameters)),
      ...(attack !== 'fgsm' && { steps: definition.minimal === true ? 24 : 3 }),
      ...(definition.rankedTargets !== undefined && { rankedTargets: 2 }),
    } as Omit<AttackOptions, 'batch'>;
    const title = `${attack} ${norm} ${rules}${targeted ? ', targeted' : ''}`;
    slowly(
      !fast.has(title),
      `${title}: inside, also in 8 bits; same bits in batches of 64, 7, 1`,
      120_000,
      async () => {
        using whole = await Attack.compile({ ...options, model, batch: 64 });
        const expected = await whole.run({ images, labels, ...(targeted && { targets }) });
        // from the clean image FMN may come to the boundary from inside and find nothing
        expectInside(expected, norm, attack !== 'fmn');
        // the other way round
        const order = Uint32Array.from({ length: count }, (_, n) => count - 1 - n);
        const turned = new Float32Array(images.length);
        order.forEach((from, to) => turned.set(own(images, from), to * size));
        using parts = await Attack.compile({ ...options, model, batch: 7 });
        const partners = { images, labels };
        const found = await parts.run({
          ...{ images: turned, labels: labels.slice().reverse(), sampleIds: order, partners },
          ...(targeted && { targets: targets.slice().reverse() }),
        });
        order.forEach((from, to) => {
          const same = bytes(own(found.images, to)).equals(bytes(own(expected.images, from)));
          expect(same, `image ${from}`).to.equal(true);
          expect(found.samples[to]).to.deep.equal(expected.samples[from]);
        });
      },
    );
  }
});
