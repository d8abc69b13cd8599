import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { constantsOf, nextConstants, noteSuccess, roundsOf, weighedGradient } from './constants.js';
import { orNaN } from './numbers.js';
import { endAtNearest, leadOf, marginObjective, nowhere, perturbation } from './nearest.js';
import { map } from './transformParts.js';
import type { AttackPlan, StageContext } from './stages.js';

/*
 * EAD: P.-Y. Chen et al., "EAD: elastic-net attacks to deep neural networks via adversarial examples", AAAI 2018, in
 * the form of foolbox: FISTA with shrinkage towards the clean image, the constant by bisection. Of the images that fool
 * within eps (in L1) the one with the smallest elastic net is the result, or with the smallest L1 norm.
 */

const shrunk: ElementwiseFunction = {
  name: 'shrinkToClean',
  inputs: ['y', 'g', 'x'],
  scalars: ['size', 'threshold'],
  prelude: '  let z = y - size * g;\n  let d = z - x;',
  results: [
    'orNaN(select(select(x, max(z + threshold, 0.0), d < -threshold), min(z - threshold, 1.0), d > threshold), z)',
  ],
  reference: (y, g, x, size, threshold) => {
    const z = y! - size! * g!;
    if (z - x! > threshold!) return [orNaN(Math.min(z - threshold!, 1), z)];
    return [orNaN(z - x! < -threshold! ? Math.max(z + threshold!, 0) : x!, z)];
  },
};

const onward: ElementwiseFunction = {
  name: 'onward',
  inputs: ['y', 'next', 'last'],
  scalars: ['momentum'],
  results: ['select(next + momentum * (next - last), y, false)'],
  reference: (_y, next, last, momentum) => [next! + momentum! * (next! - last!)],
};

/** What is kept the smallest of; images outside the radius do not count. */
const elastic: ElementwiseFunction = {
  name: 'elasticNorm',
  inputs: ['even', 'square'],
  scalars: ['weight', 'plain', 'radius'],
  prelude: '  let size = select(weight * even + square * square, even, plain > 0.5);',
  results: [`select(size, ${nowhere}.0, even > radius)`],
  reference: (even, square, weight, plain, radius) => [
    even! > radius! ? nowhere : plain! > 0.5 ? even! : weight! * even! + square! * square!,
  ],
};

function build(stage: StageContext, x: Tensor): void {
  const { graph, clean, segment, parameters } = stage;
  const y = stage.state('ahead', clean.shape);
  const { regularization, byL1 } = parameters as Record<'regularization' | 'byL1', number>;
  segment('start', () => {
    for (const state of [x, y]) graph.add('assign', [clean, state], {});
    stage.set(constantsOf(stage).succeeded, 0);
  });
  segment('step', () => {
    const { gradient } = weighedGradient(stage, y, perturbation(stage, y));
    const next = map(stage, shrunk, [y, gradient, clean], [stage.alpha, regularization]);
    graph.add('map', [y, next, x], { fn: onward, scalars: [{ step: 'momentum' }], targets: [0] });
    graph.add('assign', [next, x], {});
  });
  segment('judge', () => {
    const lead = leadOf(stage, marginObjective(stage, stage.forward(x).logits, stage.aims));
    const d = perturbation(stage, x);
    const of = (norm: 'l1' | 'l2'): Tensor => graph.one('sampleNorm', [d], { norm });
    noteSuccess(stage, x, map(stage, elastic, [of('l1'), of('l2')], [regularization, byL1, stage.radius]), lead);
  });
  nextConstants(stage);
  endAtNearest(stage, x);
}

export const eadPlan: AttackPlan = {
  fields: { momentum: 'f32' },
  build,
  phases(settings) {
    const { steps, parameters } = settings;
    const first = parameters['firstStep']!;
    const row = (step: number) => ({ alpha: first * Math.sqrt(1 - step / steps), momentum: step / (step + 3) });
    return roundsOf(settings, row).flatMap((phase) =>
      phase.segment === 'step'
        ? phase.rows.flatMap((each) => [
            { segment: 'step', rows: [each] },
            { segment: 'judge', rows: [{}] },
          ])
        : [phase],
    );
  },
  cost({ steps, parameters }) {
    const gradients = steps * parameters['rounds']!;
    return { gradients, forwards: 2 * gradients };
  },
};
