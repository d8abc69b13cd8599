import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { orNaN } from './numbers.js';
import { endAtNearest, keepNearest, leadOf, nowhere, perturbation } from './nearest.js';
import { map } from './transformParts.js';
import type { AttackPlan, Phase, PlanSettings, StageContext } from './stages.js';

/*
 * DeepFool: S. Moosavi-Dezfooli et al., "DeepFool: a simple and accurate method to fool deep neural networks", CVPR
 * 2016, in the form of foolbox: steps to the nearest linearized boundary add up, and the sum is overshot. An image at
 * which no class has a gradient stays where it is.
 */

const dual = { linf: 'l1', l2: 'l2', l1: 'linf' } as const;

const nearer: ElementwiseFunction = {
  name: 'nearerBoundary',
  inputs: ['nearest', 'difference', 'length'],
  scalars: [],
  prelude: `  let distance = select(${nowhere}.0, abs(difference) / length, length > 0.0);
  let closer = distance < nearest;`,
  results: ['orNaN(select(nearest, distance, closer), length)', 'select(0.0, 1.0, closer)'],
  reference: (nearest, difference, length) => {
    const distance = length! > 0 ? Math.abs(difference!) / length! : nowhere;
    const closer = distance < nearest!;
    return [orNaN(closer ? distance : nearest!, length!), Number(closer)];
  },
};

const takeIf: ElementwiseFunction = {
  name: 'takeBoundary',
  inputs: ['kept', 'w', 'take'],
  scalars: [],
  results: ['select(kept, w, take > 0.5)'],
  reference: (kept, w, take) => [take! > 0.5 ? w! : kept!],
};

/** Adds the way to the boundary and 1e-4 more, in pixels: along w, or along its signs. */
const onTheWay: ElementwiseFunction = {
  name: 'boundaryStep',
  inputs: ['total', 'w', 'length', 'distance'],
  scalars: ['even'],
  results: ['total + (distance + 1e-4) * select(select(0.0, w / length, length > 0.0), sign(w), even > 0.5)'],
  reference: (total, w, length, distance, even) => [
    total! + (distance! + 1e-4) * (even! > 0.5 ? Math.sign(w!) : length! > 0 ? w! / length! : 0),
  ],
};

const overshot: ElementwiseFunction = {
  name: 'overshot',
  inputs: ['x', 'clean', 'total', 'lead'],
  scalars: ['overshoot'],
  results: ['select(orNaN(clamp(clean + (1.0 + overshoot) * total, 0.0, 1.0), total), x, lead < 0.0)'],
  reference: (x, clean, total, lead, overshoot) => [
    lead! < 0 ? x! : orNaN(Math.min(Math.max(clean! + (1 + overshoot!) * total!, 0), 1), total!),
  ],
};

function build(stage: StageContext, x: Tensor): void {
  const { graph, norm, clean, labels, segment } = stage;
  const samples = [clean.shape[0]!];
  const nearest = stage.state('boundary', samples, nowhere);
  const lead = stage.state('lead', samples);
  const [w, total] = [stage.state('w', clean.shape), stage.state('total', clean.shape)];
  const assign = (value: Tensor, state: Tensor): void => void graph.add('assign', [value, state], {});
  const judge = (logits: Tensor): void => {
    const own = leadOf(stage, graph.one('loss', [logits, stage.aims], { kind: 'margin' }));
    keepNearest(stage, x, graph.one('sampleNorm', [perturbation(stage, x)], { norm }), own);
    assign(own, lead);
  };
  segment('candidate', () => {
    const target = graph.one('classAtRank', [stage.cleanLogits, labels], { rank: { step: 'rank' } });
    const { logits, loss, gradient } = stage.gradientAt(x, x, (_stage, z) =>
      graph.one('loss', [z, labels, target], { kind: 'logitDifference' }),
    );
    judge(logits);
    const length = graph.one('sampleNorm', [gradient], { norm: dual[norm] });
    const [closer] = graph.add('map', [nearest, loss, length], { fn: nearer, scalars: [], targets: [0, 'new'] });
    graph.add('map', [w, gradient, closer!], { fn: takeIf, scalars: [], targets: [0] });
  });
  segment('move', () => {
    const length = graph.one('sampleNorm', [w], { norm: 'l2' });
    const even = norm === 'linf' ? 1 : 0;
    graph.add('map', [total, w, length, nearest], { fn: onTheWay, scalars: [even], targets: [0] });
    assign(map(stage, overshot, [x, clean, total, lead], [stage.parameters['overshoot']!]), x);
    // Where no class has a gradient next time, the way of this step must not be gone again.
    for (const [state, value] of [
      [nearest, nowhere],
      [w, 0],
    ] as const)
      stage.set(state, value);
  });
  segment('judge', () => judge(stage.forward(x).logits));
  endAtNearest(stage, x);
}

const ranksOf = ({ classes, parameters }: PlanSettings): number => Math.min(parameters['candidates']!, classes) - 1;

export const deepfoolPlan: AttackPlan = {
  build,
  targeted: false,
  phases(settings) {
    const ranks = Array.from({ length: ranksOf(settings) }, (_, k) => ({ rank: k + 1 }));
    const steps = Array.from({ length: settings.steps }, (): Phase[] => [
      { segment: 'candidate', rows: ranks },
      { segment: 'move', rows: [{}] },
    ]);
    return [...steps.flat(), { segment: 'judge', rows: [{}] }, { segment: 'end', rows: [{}] }];
  },
  cost(settings) {
    const gradients = settings.steps * ranksOf(settings);
    return { gradients, forwards: gradients + 1 };
  },
};
