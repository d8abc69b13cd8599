import { attacks } from '../attacks/builtin.js';
import { elementwiseMap } from '../attacks/stages.js';
import type { AttackDefinition, StageContext } from '../attacks/stages.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { cifar10Statistics } from '../nn/normalize.js';
import { randomStreams } from '../random/philox.js';

const step: ElementwiseFunction = {
  name: 'officialStep',
  inputs: ['x', 'g', 'deviation'],
  scalars: ['alpha'],
  results: ['x + alpha * deviation * sign(g)'],
  reference: (x, g, deviation, alpha) => [x! + alpha! * deviation! * Math.sign(g!)],
};

const box: ElementwiseFunction = {
  name: 'officialBox',
  inputs: ['v', 'x', 'deviation'],
  scalars: ['radius'],
  results: ['clamp(v, x - 2.0 * radius * deviation, x + 2.0 * radius * deviation)'],
  reference: (v, x, deviation, radius) => {
    const half = 2 * radius! * deviation!;
    return [Math.min(Math.max(v!, x! - half), x! + half)];
  },
};

const noise: ElementwiseFunction = {
  name: 'officialNoise',
  inputs: ['x', 'u', 'deviation'],
  scalars: ['radius'],
  results: ['x + (2.0 * u - 1.0) * radius * deviation'],
  reference: (x, u, deviation, radius) => [x! + (2 * u! - 1) * radius! * deviation!],
};

/** The deviation of each pixel's channel, which turns normalized values into pixels. */
function deviations({ graph, clean }: StageContext): Tensor {
  const [, channels, height, width] = clean.shape as [number, number, number, number];
  const plane = height * width;
  const values = Array.from(
    { length: clean.shape[0]! * channels * plane },
    (_, i) => cifar10Statistics.deviations[Math.floor(i / plane) % channels]!,
  );
  return graph.constant('deviations', values, clean.shape);
}

/** Not by a random start of pixels but by one of normalized values, U(-eps, eps), half as wide as the box. */
const start = (stage: StageContext): Tensor => {
  const { graph, clean, sampleIds, radius, seed, draws } = stage;
  const uniform = graph.one('random', [sampleIds], {
    shape: clean.shape,
    distribution: 'uniform',
    stream: randomStreams.randomStart,
    seed,
    step: draws[0],
  });
  return elementwiseMap(graph, noise, [clean, uniform, deviations(stage)], [radius]);
};

const common = {
  ownBall: true,
  step: (stage: StageContext, x: Tensor, g: Tensor): Tensor =>
    elementwiseMap(stage.graph, step, [x, g, deviations(stage)], [stage.alpha]),
  // Pixels outside [0, 1] stay as they are: the official attacks do not know the range of the data.
  projection: (stage: StageContext, v: Tensor): Tensor =>
    elementwiseMap(stage.graph, box, [v, stage.clean, deviations(stage)], [stage.radius]),
};

/** FGSM and I-FGSM climb minus the true logit there, not the cross entropy. */
const minusLogit: AttackDefinition['objective'] = ({ graph }, logits, labels) =>
  graph.one('loss', [logits, labels], { kind: 'logit' });

/**
 * The attacks as the theory paper's code does them: eps and steps in normalized values with the box twice as wide, no
 * clip to valid pixels, and minus the true logit as the objective of FGSM and I-FGSM. To be used with the fixed step
 * 2/255 and `keep: 'last'`. APGD is the plain one: the official one clamps its start in another space than its steps.
 */
export const officialAttacks = {
  fgsm: { ...attacks.fgsm, ...common, name: 'fgsm (official)', objective: minusLogit, defaultAlpha: (eps) => 2 * eps },
  ifgsm: { ...attacks.ifgsm, ...common, name: 'ifgsm (official)', objective: minusLogit, defaultAlpha: () => 2 / 255 },
  apgd: attacks.apgd,
  pgd: {
    ...attacks.pgd,
    ...common,
    name: 'pgd (official)',
    start: { ...attacks.pgd.start, random: start },
    defaultAlpha: () => 2 / 255,
  },
} satisfies Record<string, AttackDefinition>;
