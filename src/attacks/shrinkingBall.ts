import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { endAtNearest, keepNearest, leadOf, marginObjective, nowhere, perturbation } from './nearest.js';
import { orNaN } from './numbers.js';
import { projectOnL1Ball } from './sparse.js';
import { map } from './transformParts.js';
import { unit } from './stages.js';
import type { AttackPlan, PlanSettings, StageContext } from './stages.js';

/*
 * Attacks whose ball shrinks where an image fools and grows where it does not: DDN (J. Rony et al., "Decoupling
 * direction and norm for efficient gradient-based L2 adversarial attacks and defenses", CVPR 2019, in the form of
 * foolbox) and FMN (M. Pintor et al., "Fast minimum-norm adversarial attacks through adaptive norm constraints",
 * NeurIPS 2021, algorithm 1).
 */

const roomOf: ElementwiseFunction = {
  name: 'mostRoom',
  inputs: ['x'],
  scalars: [],
  results: ['max(x, 1.0 - x)'],
  reference: (x) => [Math.max(x!, 1 - x!)],
};

const stepAlong: ElementwiseFunction = {
  name: 'unitStep',
  inputs: ['d', 'g', 'length'],
  scalars: ['size', 'direction'],
  results: ['orNaN(d + direction * size * select(0.0, g / length, length > 0.0), length)'],
  reference: (d, g, length, size, direction) => [orNaN(d! + direction! * size! * unit(g!, length!), length!)],
};

const ddnRadius: ElementwiseFunction = {
  name: 'ddnRadius',
  inputs: ['eps', 'lead', 'worst'],
  scalars: ['gamma', 'initial', 'first'],
  prelude: '  let before = select(eps, initial, first > 0.5);',
  results: ['min(before * select(1.0 + gamma, 1.0 - gamma, lead < 0.0), worst)'],
  reference: (eps, lead, worst, gamma, initial, first) => [
    // foolbox has these factors in float32
    Math.min((first! > 0.5 ? initial! : eps!) * Math.fround(lead! < 0 ? 1 - gamma! : 1 + gamma!), worst!),
  ],
};

const onSphere: ElementwiseFunction = {
  name: 'onSphere',
  inputs: ['d', 'x', 'length', 'eps'],
  scalars: [],
  results: ['orNaN(clamp(x + d * select(0.0, eps / length, length > 0.0), 0.0, 1.0), length)'],
  reference: (d, x, length, eps) => [
    orNaN(Math.min(Math.max(x! + d! * (length! > 0 ? eps! / length! : 0), 0), 1), length!),
  ],
};

function buildDdn(stage: StageContext, x: Tensor): void {
  const { graph, clean, segment, parameters } = stage;
  const eps = stage.state('eps', [clean.shape[0]!]);
  const length = (v: Tensor): Tensor => graph.one('sampleNorm', [v], { norm: 'l2' });
  segment('step', () => {
    const { logits, gradient } = stage.gradientAt(x);
    const lead = leadOf(stage, marginObjective(stage, logits, stage.aims));
    const d = perturbation(stage, x);
    keepNearest(stage, x, length(d), lead);
    const worst = length(map(stage, roomOf, [clean]));
    const { gamma, initialRadius } = parameters as Record<'gamma' | 'initialRadius', number>;
    const scalars = [gamma, initialRadius, stage.first];
    graph.add('map', [eps, lead, worst], { fn: ddnRadius, scalars, targets: [0] });
    const next = map(stage, stepAlong, [d, gradient, length(gradient)], [stage.alpha, stage.direction]);
    graph.add('assign', [map(stage, onSphere, [next, clean, length(next), eps]), x], {});
  });
  endAtNearest(stage, x);
}

/** What falls from `from` to `to` along half a cosine. */
const annealed = (from: number, to: number, step: number, steps: number): number =>
  to + ((from - to) * (1 + Math.cos((Math.PI * step) / steps))) / 2;

const eachStep = (steps: number, row: (step: number) => Record<string, number>) => [
  { segment: 'step', rows: Array.from({ length: steps }, (_, step) => row(step)) },
  { segment: 'end', rows: [{}] },
];
const cost = ({ steps }: PlanSettings) => ({ gradients: steps, forwards: steps });

export const ddnPlan: AttackPlan = {
  build: buildDdn,
  climbsLoss: true,
  phases: ({ steps }) =>
    eachStep(steps, (step) => ({ alpha: annealed(1, 0.01, step, steps), first: step === 0 ? 1 : 0 })),
  cost,
};

const fmnRadius: ElementwiseFunction = {
  name: 'fmnRadius',
  inputs: ['eps', 'length', 'lead', 'slope', 'nearest', 'worst'],
  scalars: ['gamma'],
  prelude: `  let linear = select(${nowhere}.0, length + abs(lead) / slope, slope > 0.0);
  let outside = select(linear, eps * (1.0 + gamma), nearest < ${nowhere}.0);
  let inside = min(eps * (1.0 - gamma), nearest);`,
  results: ['min(select(outside, inside, lead < 0.0), worst)'],
  reference: (eps, length, lead, slope, nearest, worst, gamma) => {
    const linear = slope! > 0 ? length! + Math.abs(lead!) / slope! : nowhere;
    const outside = nearest! < nowhere ? eps! * (1 + gamma!) : linear;
    return [Math.min(lead! < 0 ? Math.min(eps! * (1 - gamma!), nearest!) : outside, worst!)];
  },
};

const inBox: ElementwiseFunction = {
  name: 'inBox',
  inputs: ['d', 'x'],
  scalars: [],
  results: ['orNaN(clamp(x + d, 0.0, 1.0), d)'],
  reference: (d, x) => [orNaN(Math.min(Math.max(x! + d!, 0), 1), d!)],
};

const inCube: ElementwiseFunction = {
  name: 'inCube',
  inputs: ['d', 'eps'],
  scalars: [],
  results: ['orNaN(clamp(d, -eps, eps), d)'],
  reference: (d, eps) => [orNaN(Math.min(Math.max(d!, -eps!), eps!), d!)],
};

const inSphere: ElementwiseFunction = {
  name: 'inSphere',
  inputs: ['d', 'length', 'eps'],
  scalars: [],
  results: ['d * select(1.0, eps / length, length > eps)'],
  reference: (d, length, eps) => [d! * (length! > eps! ? eps! / length! : 1)],
};

/** The nearest point of the ball of radius [N], without the box. */
function projected(stage: StageContext, d: Tensor, eps: Tensor): Tensor {
  if (stage.norm === 'linf') return map(stage, inCube, [d, eps]);
  if (stage.norm === 'l1') return projectOnL1Ball(stage, d, eps);
  return map(stage, inSphere, [d, stage.graph.one('sampleNorm', [d], { norm: 'l2' }), eps]);
}

function buildFmn(stage: StageContext, x: Tensor): void {
  const { graph, norm, clean, segment } = stage;
  const samples = [clean.shape[0]!];
  const eps = stage.state('eps', samples, nowhere);
  const nearest = stage.state('distance', samples, nowhere);
  const length = (v: Tensor, by: 'l1' | 'l2' | 'linf' = norm): Tensor => graph.one('sampleNorm', [v], { norm: by });
  segment('start', () => graph.add('assign', [map(stage, inBox, [perturbation(stage, stage.origin), clean]), x], {}));
  segment('step', () => {
    const { loss, gradient } = stage.gradientAt(x, x, marginObjective);
    const lead = leadOf(stage, loss);
    const d = perturbation(stage, x);
    const far = length(d);
    keepNearest(stage, x, far, lead);
    const slope = length(gradient, { linf: 'l1', l2: 'l2', l1: 'linf' }[norm] as 'l1' | 'l2' | 'linf');
    const worst = length(map(stage, roomOf, [clean]));
    const inputs = [eps, far, lead, slope, nearest, worst];
    graph.add('map', inputs, { fn: fmnRadius, scalars: [{ step: 'gamma' }], targets: [0] });
    const next = map(stage, stepAlong, [d, gradient, length(gradient, 'l2')], [stage.alpha, stage.direction]);
    graph.add('assign', [map(stage, inBox, [projected(stage, next, eps), clean]), x], {});
  });
  endAtNearest(stage, x);
}

export const fmnPlan: AttackPlan = {
  fields: { gamma: 'f32' },
  start: true,
  build: buildFmn,
  phases: ({ steps, parameters }) => {
    const { largestStep, gamma } = parameters as Record<'largestStep' | 'gamma', number>;
    const rows = eachStep(steps, (step) => ({
      alpha: annealed(largestStep, largestStep / 100, step, steps),
      gamma: annealed(gamma, 0.001, step, steps),
    }));
    return [{ segment: 'start', rows: [{}] }, ...rows];
  },
  cost,
};
