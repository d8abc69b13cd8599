import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { mef } from './mef.js';
import { orNaN } from './numbers.js';
import { pi } from './patchwise.js';
import { steepestStep } from './stages.js';
import { map, product, radiusOf, samplesOf, sum } from './transformParts.js';
import type { Sampling, StageContext, StepStage } from './stages.js';

/*
 * Gradients of attacks that transfer: where a step's gradients are taken, and what they make together. They combine
 * with every transform, momentum, rule and objective. Radii are in units of the ball's radius, as in the papers.
 */

const around: ElementwiseFunction = {
  name: 'around',
  inputs: ['x', 'u'],
  scalars: ['reach', 'radius'],
  results: ['x + (2.0 * u - 1.0) * reach * radius'],
  reference: (x, u, reach, radius) => [x! + (2 * u! - 1) * reach! * radius!],
};

/** A point around another, each pixel uniform within `reach` radii. */
const neighbor = (stage: StageContext, x: Tensor, reach: number): Tensor =>
  map(stage, around, [x, stage.random(x.shape, 'uniform', stage.query)], [reach, stage.radius]);

const ahead: ElementwiseFunction = {
  name: 'ahead',
  inputs: ['x', 'm'],
  scalars: ['direction', 'alpha', 'decay'],
  results: ['x + direction * alpha * decay * m'],
  reference: (x, m, direction, alpha, decay) => [x! + direction! * alpha! * decay! * m!],
};

/** The point that the momentum leads to: x + alpha mu m. */
const lookAhead = (stage: StageContext, x: Tensor): Tensor =>
  map(stage, ahead, [x, stage.memory('momentum', x.shape)], [stage.direction, stage.alpha, stage.decay]);

const difference: ElementwiseFunction = {
  name: 'excess',
  inputs: ['kept', 'a', 'b'],
  scalars: [],
  results: ['select(a - b, kept, false)'],
  reference: (_kept, a, b) => [a! - b!],
};

/** NI: the gradient at the look-ahead point (J. Lin et al., 2020). */
const ni: Sampling = {
  look: lookAhead,
  base: true,
  count: () => 0,
  points: [],
  collect: (_stage, gradients) => gradients[0]!,
  combine: (_stage, { base }) => base!,
};

/**
 * VMI: the gradient plus what the mean gradient of the last step's neighbors was above that step's own (X. Wang, K. He,
 * "Enhancing the transferability of adversarial attacks through variance tuning", 2021).
 */
const vmi: Sampling = {
  base: true,
  count: ({ samples }) => samples!,
  points: [(stage, x) => neighbor(stage, x, stage.parameters['reach']!)],
  collect: (_stage, [gradient]) => gradient!,
  combine(stage, { base, mean }) {
    const variance = stage.memory('variance', mean.shape);
    const tuned = map(stage, sum, [base!, variance]);
    stage.graph.add('map', [variance, mean, base!], { fn: difference, scalars: [], targets: [0] });
    return tuned;
  },
  parameters: { samples: samplesOf(20), reach: radiusOf(1.5) },
};

/** VMI at the look-ahead point. */
const vni: Sampling = { ...vmi, look: lookAhead };

const along: ElementwiseFunction = {
  name: 'alongLast',
  inputs: ['x', 'b'],
  scalars: ['alpha', 'sample', 'count', 'reach'],
  prelude: '  let place = select(0.0, 2.0 * sample / max(count - 1.0, 1.0) - 1.0, count > 1.5);',
  results: ['x + place * reach * alpha * b'],
  reference: (x, b, alpha, sample, count, reach) => {
    const place = count! > 1.5 ? (2 * sample!) / (count! - 1) - 1 : 0;
    return [x! + place * reach! * alpha! * b!];
  },
};

const overMean: ElementwiseFunction = {
  name: 'overMean',
  inputs: ['kept', 'g', 'total'],
  scalars: ['pixels'],
  results: ['select(select(0.0, g / (total / pixels), total > 0.0), kept, false)'],
  reference: (_kept, g, total, pixels) => [total! > 0 ? g! / (total! / pixels!) : 0],
};

/**
 * EMI: the mean over points along the last gradient (X. Wang et al., "Boosting adversarial transferability through
 * enhanced momentum", 2021).
 */
const emi: Sampling = {
  base: false,
  count: ({ samples }) => samples!,
  points: [
    (stage, x, sample) => {
      const { samples, reach } = stage.parameters;
      return map(stage, along, [x, stage.memory('last', x.shape)], [stage.alpha, sample, samples!, reach!]);
    },
  ],
  collect: (_stage, [gradient]) => gradient!,
  combine(stage, { mean }) {
    const total = stage.graph.one('sampleNorm', [mean], { norm: 'l1' });
    const pixels = elementCount(mean.shape.slice(1));
    stage.graph.add('map', [stage.memory('last', mean.shape), mean, total], {
      fn: overMean,
      scalars: [pixels],
      targets: [0],
    });
    return mean;
  },
  parameters: { samples: samplesOf(11), reach: { ...radiusOf(7), help: 'how far along the last gradient, in steps' } },
};

const byCosine: ElementwiseFunction = {
  name: 'byCosine',
  inputs: ['g', 'mean', 'dot', 'length', 'other'],
  scalars: [],
  prelude: '  let s = dot / max(length * other, 1e-30);',
  results: ['s * g + (1.0 - s) * mean'],
  reference: (g, mean, dot, length, other) => {
    const s = dot! / Math.max(length! * other!, 1e-30);
    return [s * g! + (1 - s) * mean!];
  },
};

/** What GRA's steps shrink by where the direction changes its sign. */
const decaying = 0.94;

const agree: ElementwiseFunction = {
  name: 'agree',
  inputs: ['size', 'last', 'm'],
  scalars: ['first', 'factor'],
  // GRA's factors begin at 1 / 0.94, so that no direction at the first step counts as a change.
  results: ['select(size, 1.0 / factor, first > 0.5) * select(factor, 1.0, sign(m) == sign(last))', 'm'],
  reference: (size, last, m, first, factor) => [
    (first! > 0.5 ? 1 / factor! : size!) * (Math.sign(m!) === Math.sign(last!) ? 1 : factor!),
    m!,
  ],
};

const sizedStep: ElementwiseFunction = {
  name: 'sizedStep',
  inputs: ['x', 'm', 'size'],
  scalars: ['alpha', 'direction'],
  results: ['orNaN(x + direction * alpha * size * sign(m), m)'],
  reference: (x, m, size, alpha, direction) => [orNaN(x! + direction! * alpha! * size! * Math.sign(m!), m!)],
};

/** GRA's step: a factor of each pixel shrinks where the direction changes its sign. Other norms step as usual. */
const shrinkingStep: StepStage = (stage, iterate, m, loss) => {
  if (stage.norm !== 'linf') return steepestStep(stage, iterate, m, loss);
  const [size, last] = [stage.memory('stepSize', m.shape), stage.memory('lastDirection', m.shape)];
  stage.graph.add('map', [size, last, m], { fn: agree, scalars: [stage.first, decaying], targets: [0, 1] });
  return map(stage, sizedStep, [iterate, m, size], [stage.alpha, stage.direction]);
};

/**
 * GRA: gradient and mean of the neighbors' by their cosine (H. Zhu et al., "Boosting adversarial transferability via
 * gradient relevance attack", 2023).
 */
const gra: Sampling = {
  base: true,
  count: ({ samples }) => samples!,
  points: [(stage, x) => neighbor(stage, x, stage.parameters['reach']!)],
  collect: (_stage, [gradient]) => gradient!,
  combine(stage, { base, mean }) {
    const of = (x: Tensor, norm: 'l2' | 'sum'): Tensor => stage.graph.one('sampleNorm', [x], { norm });
    const dot = of(map(stage, product, [base!, mean]), 'sum');
    return map(stage, byCosine, [base!, mean, dot, of(base!, 'l2'), of(mean, 'l2')]);
  },
  step: shrinkingStep,
  parameters: { samples: samplesOf(20), reach: radiusOf(3.5) },
};

const back: ElementwiseFunction = {
  name: 'back',
  inputs: ['x', 'g', 'total'],
  scalars: ['alpha', 'direction', 'pixels'],
  results: ['x - direction * alpha * select(0.0, g / (total / pixels), total > 0.0)'],
  reference: (x, g, total, alpha, direction, pixels) => [
    x! - direction! * alpha! * (total! > 0 ? g! / (total! / pixels!) : 0),
  ],
};

const blend: ElementwiseFunction = {
  name: 'blend',
  inputs: ['a', 'b'],
  scalars: ['share'],
  results: ['(1.0 - share) * a + share * b'],
  reference: (a, b, share) => [(1 - share!) * a! + share! * b!],
};

/**
 * PGN: flat maxima, by gradients at neighbors and one step down from each (Z. Ge et al., "Boosting adversarial
 * transferability by achieving flat local maxima", 2023).
 */
const pgn: Sampling = {
  base: false,
  count: ({ samples }) => samples!,
  points: [
    (stage, x) => neighbor(stage, x, stage.parameters['reach']!),
    (stage, _look, _sample, before) => {
      const { point, gradient } = before!;
      const total = stage.graph.one('sampleNorm', [gradient], { norm: 'l1' });
      const pixels = elementCount(gradient.shape.slice(1));
      return map(stage, back, [point, gradient, total], [stage.alpha, stage.direction, pixels]);
    },
  ],
  collect: (stage, [first, second]) => map(stage, blend, [first!, second!], [stage.parameters['share']!]),
  combine: (_stage, { mean }) => mean,
  parameters: {
    samples: samplesOf(20),
    reach: radiusOf(3),
    share: { byDefault: 0.5, least: 0, most: 1, help: 'share of the gradient one step down' },
  },
};

const onTheWay: ElementwiseFunction = {
  name: 'onTheWay',
  inputs: ['x'],
  scalars: ['sample', 'count'],
  results: ['x * ((sample + 1.0) / count)'],
  reference: (x, sample, count) => [x! * ((sample! + 1) / count!)],
};

/**
 * MIG: integrated gradients from a black image, image times mean gradient on the way (W. Ma et al., "Transferable
 * adversarial attack for both vision transformers and convolutional networks via momentum integrated gradients", 2023).
 * Its code weights the gradients by how far on the way they are, and takes the label's probability as objective.
 */
const mig: Sampling = {
  base: false,
  count: ({ samples }) => samples!,
  points: [(stage, x, sample) => map(stage, onTheWay, [x], [sample, stage.parameters['samples']!])],
  collect: (_stage, [gradient]) => gradient!,
  combine: (stage, { mean, iterate }) => map(stage, product, [mean, iterate]),
  parameters: { samples: samplesOf(20) },
};

/** Gradients by the name that the command line gives them. */
export const gradientSamplings = { ni, pi, vmi, vni, emi, gra, pgn, mef, mig } as const satisfies Record<
  string,
  Sampling
>;

export { inputTransforms } from './imageTransforms.js';
