import { expect } from 'chai';
import { hasOption } from '../../src/attacks/available.js';
import { Attack, attacks, intermediateLevel } from '../../src/attacks/index.js';
import type { AttackDefinition } from '../../src/attacks/index.js';
import { gradientSamplings, inputTransforms } from '../../src/attacks/transfer.js';
import { smoothedGradient } from '../../src/attacks/transforms.js';
import { elementCount } from '../../src/graph/types.js';
import type { Node, Tensor } from '../../src/graph/types.js';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { relativeError } from '../support/compare.js';
import { lacking, slowly } from '../support/slow.js';
import { expectWithin, float32Digits, gradientTolerance, largestDifference, nineDigits } from './figures.js';
import { attackFixture, attackTensors, dataFolder, onDevice, replay, testImages, trained } from './replay.js';

interface DiDraw {
  readonly r: readonly number[];
  readonly top: readonly number[];
  readonly left: readonly number[];
  readonly apply: readonly boolean[];
}
interface BsrDraw {
  readonly first_dim: number;
  readonly lengths: readonly number[];
  readonly order: readonly number[];
  readonly angle: readonly number[];
  readonly lengths2: readonly (readonly number[])[];
  readonly order2: readonly (readonly number[])[];
}
interface SiaDraw {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly op: readonly number[];
  readonly u: readonly number[];
  readonly noise: string;
}
interface Fixture {
  readonly images: readonly number[];
  readonly labels: readonly number[];
  readonly eps_value: number;
  readonly alpha: number;
  readonly mu: number;
  readonly steps: number;
  readonly results: Readonly<Record<string, { readonly grad_norm: readonly (readonly number[])[] }>>;
  readonly parameters: Readonly<Record<string, number>> & { readonly layer: string };
  readonly random: {
    readonly di: readonly DiDraw[];
    readonly admix: readonly (readonly (readonly number[])[])[];
    readonly bsr: readonly (readonly BsrDraw[])[];
    readonly sia: readonly (readonly SiaDraw[])[];
  };
}

const golden = attackFixture<Fixture>('transfer-steps');
const { parameters: given, random } = golden;
const batch = golden.images.length;
const size = 3 * 32 * 32;

/** The decay of the momentum, for attacks that have one. */
const momentumOf = (attack: AttackDefinition): { readonly decay?: number } =>
  hasOption(attack, 'decay') ? { decay: golden.mu } : {};

/** What the reference code drew at a step, for a copy or sample. Each gives all images' numbers, row-major. */
type Drawn = (at: { step: number; copy: number; node: Node<'random'> }) => ArrayLike<number>;

const uniforms = (key: string, count = batch * size): Float64Array => formulaUniforms(`transfer.a.${key}`, count);
const normals = (key: string): Float64Array => {
  const [a, b] = [uniforms(`${key}.a`), uniforms(`${key}.b`)];
  return a.map((u, i) => Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * b[i]!));
};
const same = (values: readonly number[]): number[] => Array.from({ length: batch }, () => values).flat();
/** A number of [0, 1) that makes the k-th of so many choices. */
const chosen = (k: number, count: number): number => (k + 0.5) / count;
/** Numbers from which the code's lengths follow exactly, and keys from which its order does. */
const widths = (lengths: readonly number[]): number[] => lengths.map((each) => 2 - (2 * each) / Math.max(...lengths));
const keys = (order: readonly number[]): number[] => order.map((_, old) => (order.indexOf(old) + 0.5) / order.length);
const cuts = (ends: readonly number[]): number[] => {
  const [, a, b, total] = ends as [number, number, number, number];
  return [chosen(a - 1, total - 1), chosen(b - 2, total - 2)];
};

const ofBsr = (draw: BsrDraw): number[] => [
  draw.first_dim === 2 ? 0.25 : 0.75,
  ...widths(draw.lengths),
  ...keys(draw.order),
  ...draw.angle.map((angle) => (angle / 24 + 1) / 2),
  ...draw.lengths2.flatMap(widths),
  ...draw.order2.flatMap(keys),
];
const ofSia = (draw: SiaDraw): number[] => [
  ...cuts(draw.x),
  ...cuts(draw.y),
  ...draw.op.map((op) => chosen(op, 7)),
  ...draw.u,
];
const ofDi = (draw: DiDraw, which: number): number[] =>
  Array.from({ length: batch }, (_, n) => {
    if (which === 1) return draw.apply[n] ? 0 : 1;
    const [r, frame] = [draw.r[n]!, given['di.P']!];
    const places = frame - r + 1;
    return [chosen(r - 32, frame - 32 + 1), chosen(draw.top[n]!, places), chosen(draw.left[n]!, places)];
  }).flat();

interface Case {
  readonly attack: AttackDefinition;
  readonly parameters?: Readonly<Record<string, number>>;
  readonly drawn?: Drawn;
  readonly rules?: string;
  /** The run's start are the final images of this attack, in float64. */
  readonly startBy?: AttackDefinition;
  /** Gradients of a step. */
  readonly cost: number;
}

const mi = attacks.mifgsm;
const p = given as unknown as Record<string, number>;
const cases: Readonly<Record<string, Case>> = {
  ifgsm: { attack: attacks.ifgsm, cost: 1 },
  ila: { attack: intermediateLevel(given.layer), startBy: attacks.ifgsm, cost: 1 },
  sgm: { attack: mi, rules: `sgm:gamma=${given['sgm.gamma']!}`, cost: 1 },
  bpa: { attack: mi, rules: 'bpa:from=layer3', cost: 1 },
  mi: { attack: mi, cost: 1 },
  ni: { attack: { ...mi, sampling: gradientSamplings.ni }, cost: 1 },
  pi: {
    attack: { ...attacks.ifgsm, sampling: gradientSamplings.pi },
    parameters: { amplification: p['pi.beta']!, patch: p['pi.gamma']! },
    cost: 1,
  },
  sim: { attack: { ...mi, transforms: [inputTransforms.si] }, parameters: { scales: p['si.m']! }, cost: 5 },
  'si-ni': {
    attack: { ...mi, sampling: gradientSamplings.ni, transforms: [inputTransforms.si] },
    parameters: { scales: p['si.m']! },
    cost: 5,
  },
  ...Object.fromEntries(
    (['vmi', 'vni'] as const).map((name) => [
      name,
      {
        attack: { ...mi, sampling: gradientSamplings[name] },
        parameters: { samples: p['vmi.n']!, reach: p['vmi.beta']! },
        drawn: ({ step, copy }) => uniforms(`${name}.${step}.${copy}`),
        cost: 6,
      } satisfies Case,
    ]),
  ),
  emi: {
    attack: { ...mi, sampling: gradientSamplings.emi },
    parameters: { samples: p['emi.n']!, reach: p['emi.r']! },
    cost: 11,
  },
  gra: {
    attack: { ...mi, sampling: gradientSamplings.gra },
    parameters: { samples: p['gra.n']!, reach: p['gra.beta']! },
    drawn: ({ step, copy }) => uniforms(`gra.${step}.${copy}`),
    cost: 6,
  },
  pgn: {
    attack: { ...mi, sampling: gradientSamplings.pgn },
    parameters: { samples: p['pgn.n']!, reach: p['pgn.zeta']!, share: p['pgn.delta']! },
    drawn: ({ step, copy }) => uniforms(`pgn.${step}.${copy}`),
    cost: 8,
  },
  admix: {
    attack: { ...mi, transforms: [inputTransforms.admix] },
    parameters: { admixed: p['admix.m2']!, admixScales: p['admix.m1']!, strength: p['admix.eta']! },
    // The pool is made the current iterates, see below; the draw is then the partner's number over their count.
    drawn: ({ step, copy }) => random.admix[step]![Math.floor(copy / p['admix.m1']!)]!.map((j) => chosen(j, batch)),
    cost: 15,
  },
  ti: { attack: { ...mi, gradient: smoothedGradient }, cost: 1 },
  di: {
    attack: { ...mi, transforms: [inputTransforms.di] },
    drawn: ({ step, node }) => ofDi(random.di[step]!, node.attrs.stream % 8),
    cost: 1,
  },
  ...Object.fromEntries(
    ['ssa', 'ssa.through'].map((name) => [
      name,
      {
        attack: { ...mi, transforms: [inputTransforms.ssa] },
        parameters: {
          ...{ spectra: p['ssa.n']!, rho: p['ssa.rho']!, sigma: p['ssa.sigma']! },
          through: name === 'ssa' ? 0 : 1,
        },
        drawn: ({ step, copy, node }) =>
          node.attrs.distribution === 'normal'
            ? normals(`ssa.${step}.${copy}.gauss`)
            : uniforms(`ssa.${step}.${copy}.mask`),
        cost: 4,
      } satisfies Case,
    ]),
  ),
  bsr: {
    attack: { ...mi, transforms: [inputTransforms.bsr] },
    parameters: { shuffles: p['bsr.n']!, strips: p['bsr.b']! },
    drawn: ({ step, copy }) => same(ofBsr(random.bsr[step]![copy]!)),
    cost: 3,
  },
  sia: {
    attack: { ...mi, transforms: [inputTransforms.sia] },
    parameters: { structures: p['sia.n']!, blocks: p['sia.b']! },
    drawn({ step, copy, node }) {
      const draw = random.sia[step]![copy]!;
      return node.attrs.shape.length === 2 ? same(ofSia(draw)) : formulaUniforms(draw.noise, batch * size);
    },
    cost: 3,
  },
};

interface Replayed {
  /** Of each step the gradient, before the momentum. */
  readonly found: readonly Float64Array[];
  /** The last iterate, in float64. */
  readonly final: Float64Array;
}

/** Runs steps of an attack on the first images, with the numbers that the reference code drew. */
async function replayed(
  { attack, parameters = {}, drawn, rules = 'bp', startBy }: Omit<Case, 'cost'>,
  clean: Float32Array,
  steps: number,
  count: number,
): Promise<Replayed> {
  const first = startBy && (await replayed({ attack: startBy }, clean, golden.steps, count)).final;
  const images = clean.subarray(0, count * size);
  const found: Float64Array[] = [];
  let final = new Float64Array(0);
  let step = -1;
  let captured: Tensor | undefined;
  const keeping: AttackDefinition = { ...attack, gradient: (stage, g) => (captured = attack.gradient(stage, g)) };
  using made = await replay(
    {
      ...{ model: await trained('resnet20'), attack: keeping, parameters, rules, eps: golden.eps_value },
      ...{ alpha: golden.alpha, steps, batch: count, ...momentumOf(attack) },
    },
    (node, row) => {
      const copy = attack.sampling === undefined ? row['copy0']! : row['sample']!;
      return Array.from(drawn!({ step, copy, node })).slice(0, elementCount(node.attrs.shape));
    },
    (segment, valuesOf, reference) => {
      if (segment === 'step' || segment === 'move') found.push(Float64Array.from(reference.get(captured!)));
      if (segment === 'finish') final = new Float64Array(valuesOf('iterate'));
    },
    (segment, reference, tensorOf) => {
      if (segment === 'look' || segment === 'step') step++;
      if (segment === 'start' && first !== undefined) reference.set(tensorOf('start')!, first);
      const pool = tensorOf('pool');
      if (segment !== 'copy' || pool === undefined) return;
      const pixels = new Float64Array(65 * size);
      pixels.set(steps === 1 ? clean : reference.get(tensorOf('iterate')!));
      reference.set(tensorOf('poolCount')!, [batch]);
      reference.set(pool, pixels);
      reference.set(tensorOf('poolOwn')!, new Float64Array(count));
    },
  );
  const start = first && { start: Float32Array.from(first) };
  await made.run({ images, labels: golden.labels.slice(0, count), ...start });
  return { found, final };
}

/**
 * The shortest gradient of an image up to a step, that of the clean image among them: directions made of it carry its
 * rounding on, to samples of the same step and to the next points.
 */
const surest = (name: string, step: number, image: number): number =>
  Math.min(
    golden.results['ifgsm']!.grad_norm[0]![image]!,
    ...golden.results[name]!.grad_norm.slice(0, step + 1).map((lengths) => lengths[image]!),
  );

describe('attacks that transfer equal the reference code in float64', () => {
  for (const [name, { cost, ...each }] of Object.entries(cases)) {
    for (const steps of [1, golden.steps]) {
      // the first step of one image, or three of all
      const count = steps === 1 ? 1 : batch;
      const what = steps === 1 ? 'the first gradient, one image' : 'gradients of three steps, and the images';
      slowly('golden', `${name}: ${what}${cost > 1 ? `, of ${cost} gradients a step` : ''}`, 1_800_000, async () => {
        if (dataFolder === '') return lacking('LINBP_DATA');
        const clean = await testImages('cifar', golden.images);
        const { found, final } = await replayed(each, clean, steps, count);
        expect(found).to.have.length(steps);
        const tensors = attackTensors('transfer-steps');
        const theirs = tensors?.(`${name}.grad`);
        for (const [k, gradient] of found.entries()) {
          for (let n = 0; n < count; n++) {
            const own = gradient.subarray(n * size, (n + 1) * size);
            const length = golden.results[name]!.grad_norm[k]![n]!;
            const off = Math.abs(Math.hypot(...own) / length - 1);
            const message = `step ${k}, image ${n}`;
            expectWithin(
              `transfer-steps ${name}.grad_norm`,
              off,
              gradientTolerance(surest(name, k, n), nineDigits),
              message,
            );
            if (n >= 2 || theirs === undefined) continue;
            const expected = theirs.subarray((2 * k + n) * size, (2 * k + n + 1) * size);
            const apart = Math.hypot(...expected.map((value, i) => value - own[i]!)) / length;
            expectWithin(
              `transfer-steps ${name}.grad`,
              apart,
              gradientTolerance(surest(name, k, n), float32Digits),
              message,
            );
          }
        }
        if (tensors === undefined) return lacking('the golden files beside LINBP_DATA');
        if (steps === 1) return;
        // pixels of [0, 1] in float32
        const most = largestDifference(final, tensors(`${name}.final`));
        expectWithin(`transfer-steps ${name}.final`, most, 2 ** -25 + 1e-9, 'final images');
      });
    }
  }
});

describe('first gradients of the reference code on the device', () => {
  for (const name of ['ifgsm', 'sgm', 'bpa', 'ila', 'sim', 'ti']) {
    const { attack, parameters = {}, rules = 'bp', startBy } = cases[name]!;
    slowly(name === 'ifgsm' ? true : 'golden', `${name}: to 1e-5 in float32`, 120_000, async () => {
      const tensors = attackTensors('transfer-steps');
      if (tensors === undefined) return lacking('the golden files beside LINBP_DATA');
      const keeping: AttackDefinition = {
        ...attack,
        gradient(stage, g) {
          const result = attack.gradient(stage, g);
          stage.graph.add('assign', [result, stage.state('captured', result.shape)], {});
          return result;
        },
      };
      const model = await onDevice('resnet20');
      try {
        using made = await Attack.compile({
          ...{ model, attack: keeping, parameters, rules, eps: golden.eps_value },
          ...{ alpha: golden.alpha, steps: 1, batch, ...momentumOf(attack) },
        });
        const images = await testImages('cifar', golden.images);
        const start = startBy && { start: Float32Array.from(tensors('ifgsm.final')) };
        await made.run({ images, labels: golden.labels, ...start });
        const { executor, attack: built } = await made.executor();
        const found = await executor.read(built.graph.tensors.find((tensor) => tensor.name === 'captured')!);
        for (let n = 0; n < batch; n++) {
          const own = found.subarray(n * size, (n + 1) * size);
          const length = golden.results[name]!.grad_norm[0]![n]!;
          const entry = `transfer-steps ${name}.grad, device`;
          expectWithin(entry, Math.abs(Math.hypot(...own) / length - 1), 1e-5, `length, image ${n}`);
          if (n >= 2) continue;
          const theirs = tensors(`${name}.grad`).subarray(n * size, (n + 1) * size);
          expectWithin(entry, relativeError(own, theirs), 1e-5, `image ${n}`);
        }
      } finally {
        model.destroy();
      }
    });
  }
});
