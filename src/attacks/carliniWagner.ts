import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { constantsOf, nextConstants, noteSuccess, roundsOf, weighedGradient } from './constants.js';
import { orNaN } from './numbers.js';
import { endAtNearest, perturbation } from './nearest.js';
import { map } from './transformParts.js';
import type { AttackPlan, StageContext } from './stages.js';

/*
 * CW: N. Carlini, D. Wagner, "Towards evaluating the robustness of neural networks", S&P 2017, in L2 and in the form of
 * foolbox without its early stop: Adam in the space of atanh, the constant by bisection.
 */

/** Keeps pixels of 0 and 1 finite in the space of atanh. */
const inside = 0.999999;

const toSpace: ElementwiseFunction = {
  name: 'toTanhSpace',
  inputs: ['x'],
  scalars: ['inside'],
  prelude: '  let v = (2.0 * x - 1.0) * inside;',
  results: ['0.5 * log((1.0 + v) / (1.0 - v))'],
  reference: (x, limit) => [Math.atanh((2 * x! - 1) * limit!)],
};

const toPixels: ElementwiseFunction = {
  name: 'toPixels',
  inputs: ['w'],
  scalars: [],
  results: ['orNaN(0.5 * (tanh(clamp(w, -20.0, 20.0)) + 1.0), w)'],
  reference: (w) => [orNaN((Math.tanh(w!) + 1) / 2, w!)],
};

const minus: ElementwiseFunction = {
  name: 'fromReconstruction',
  inputs: ['x', 'origin'],
  scalars: [],
  results: ['x - origin'],
  reference: (x, origin) => [x! - origin!],
};

const [b1, b2, small] = [0.9, 0.999, 1e-8];

/** Adam of D. Kingma, J. Ba, 2015; the gradient with respect to w is that of the pixels times 2 x (1 - x). */
const adam: ElementwiseFunction = {
  name: 'adamInTanhSpace',
  inputs: ['w', 'm', 'v', 'g', 'x'],
  scalars: ['rate', 'bias1', 'bias2'],
  prelude: `  let slope = g * 2.0 * x * (1.0 - x);
  let first = ${b1} * m + ${1 - b1} * slope;
  let second = ${b2} * v + ${1 - b2} * slope * slope;`,
  // A second moment that overflows would stop the steps without a word.
  results: [`orNaN(w - rate * (first / bias1) / (sqrt(second / bias2) + ${small}), second)`, 'first', 'second'],
  reference: (w, m, v, g, x, rate, bias1, bias2) => {
    const slope = g! * 2 * x! * (1 - x!);
    const first = b1 * m! + (1 - b1) * slope;
    const second = b2 * v! + (1 - b2) * slope * slope;
    return [orNaN(w! - (rate! * (first / bias1!)) / (Math.sqrt(second / bias2!) + small), second), first, second];
  },
};

function build(stage: StageContext, iterate: Tensor): void {
  const { graph, clean, segment } = stage;
  const [w, m, v] = ['w', 'firstMoment', 'secondMoment'].map((name) => stage.state(name, clean.shape)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const origin = (): Tensor => map(stage, toSpace, [clean], [inside]);
  segment('start', () => {
    graph.add('assign', [origin(), w], {});
    for (const state of [m, v, constantsOf(stage).succeeded]) stage.set(state, 0);
  });
  segment('step', () => {
    const x = map(stage, toPixels, [w]);
    const away = map(stage, minus, [x, map(stage, toPixels, [origin()])]);
    const { gradient, lead } = weighedGradient(stage, x, away);
    noteSuccess(stage, x, graph.one('sampleNorm', [perturbation(stage, x)], { norm: 'l2' }), lead);
    const scalars = [stage.parameters['rate']!, { step: 'bias1' }, { step: 'bias2' }];
    graph.add('map', [w, m, v, gradient, x], { fn: adam, scalars, targets: [0, 1, 2] });
  });
  nextConstants(stage);
  endAtNearest(stage, iterate);
}

export const cwPlan: AttackPlan = {
  fields: { bias1: 'f32', bias2: 'f32' },
  build,
  phases: (settings) => roundsOf(settings, (step) => ({ bias1: 1 - b1 ** (step + 1), bias2: 1 - b2 ** (step + 1) })),
  cost({ steps, parameters }) {
    const gradients = steps * parameters['rounds']!;
    return { gradients, forwards: gradients };
  },
};
