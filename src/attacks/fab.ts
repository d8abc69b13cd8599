import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { projectOnHyperplane } from './hyperplane.js';
import { orNaN } from './numbers.js';
import { elementwiseMap } from './stages.js';
import type { AttackPlan, Phase, PlanSettings, StageContext } from './stages.js';

/*
 * FAB: F. Croce, M. Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", ICML 2020,
 * in the form of AutoAttack's code. Each step goes towards the point of a class's linearized boundary, mixed with the
 * point of it that is nearest to the clean image. An image at which no class has a gradient is not moved further away.
 */

/** Steps overshoot the boundary by this factor. The paper's eta. */
const overshoot = 1.05;
/** Adversarial iterates go back by this factor. The paper's beta. */
const backward = 0.9;
/** Largest share of the point nearest to the clean image. The paper's alpha_max. */
const mostClean = 0.1;
/** Farther than any image. */
const nowhere = 1e10;

const capped = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);

/** The norm of gradients that distances in a norm are measured by. */
const dual = { linf: 'l1', l2: 'l2', l1: 'linf' } as const;

const nearer: ElementwiseFunction = {
  name: 'nearer',
  inputs: ['nearest', 'offset', 'difference', 'length'],
  scalars: [],
  prelude: `  let distance = select(${nowhere}.0, abs(difference) / length, length > 0.0);
  let closer = distance < nearest;`,
  results: [
    'orNaN(select(nearest, distance, closer), length)',
    'select(offset, difference, closer)',
    'select(0.0, 1.0, closer)',
  ],
  reference: (nearest, offset, difference, length) => {
    const distance = length! > 0 ? Math.abs(difference!) / length! : nowhere;
    const closer = distance < nearest!;
    return [orNaN(closer ? distance : nearest!, length!), closer ? difference! : offset!, Number(closer)];
  },
};

const takeIf: ElementwiseFunction = {
  name: 'takeIf',
  inputs: ['kept', 'x', 'take'],
  scalars: [],
  results: ['select(kept, x, take > 0.5)'],
  reference: (kept, x, take) => [take! > 0.5 ? x! : kept!],
};

const along: ElementwiseFunction = {
  name: 'along',
  inputs: ['w', 'goal', 'here'],
  scalars: [],
  results: ['w * (goal - here)'],
  reference: (w, goal, here) => [w! * (goal! - here!)],
};

const plus: ElementwiseFunction = {
  name: 'plus',
  inputs: ['a', 'b'],
  scalars: [],
  results: ['a + b'],
  reference: (a, b) => [a! + b!],
};

const mixShare: ElementwiseFunction = {
  name: 'mixShare',
  inputs: ['own', 'clean', 'nearest'],
  scalars: ['most'],
  prelude: `  let a = max(own, 1e-8);
  let b = max(clean, 1e-8);`,
  results: ['orNaN(min(a / (a + b), most), nearest)'],
  reference: (own, clean, nearest, most) => {
    const [a, b] = [Math.max(own!, 1e-8), Math.max(clean!, 1e-8)];
    return [orNaN(Math.min(a / (a + b), most!), nearest!)];
  },
};

const mix: ElementwiseFunction = {
  name: 'mixPoints',
  inputs: ['x', 'd', 'clean', 'dClean', 'share'],
  scalars: ['eta'],
  results: ['orNaN(clamp((x + eta * d) * (1.0 - share) + (clean + eta * dClean) * share, 0.0, 1.0), share)'],
  reference: (x, d, clean, dClean, share, eta) => [
    orNaN(capped((x! + eta! * d!) * (1 - share!) + (clean! + eta! * dClean!) * share!, 0, 1), share!),
  ],
};

const keepNearest: ElementwiseFunction = {
  name: 'keepNearest',
  inputs: ['distance', 'own', 'length', 'margin'],
  scalars: [],
  prelude: `  let fools = margin > 0.0;
  let closer = fools && length < distance;`,
  results: [
    'orNaN(select(distance, length, closer), margin + length)',
    'select(own, min(own, length), fools)',
    'select(0.0, 1.0, closer)',
    'select(0.0, 1.0, fools)',
  ],
  reference: (distance, own, length, margin) => {
    const fools = margin! > 0;
    const closer = fools && length! < distance!;
    return [
      orNaN(closer ? length! : distance!, margin! + length!),
      fools ? Math.min(own!, length!) : own!,
      Number(closer),
      Number(fools),
    ];
  },
};

const stepBack: ElementwiseFunction = {
  name: 'stepBack',
  inputs: ['x', 'clean', 'fools'],
  scalars: ['beta'],
  results: ['select(x, clean + (x - clean) * beta, fools > 0.5)'],
  reference: (x, clean, fools, beta) => [fools! > 0.5 ? clean! + (x! - clean!) * beta! : x!],
};

const minus: ElementwiseFunction = {
  name: 'perturbation',
  inputs: ['x', 'clean'],
  scalars: [],
  results: ['x - clean'],
  reference: (x, clean) => [x! - clean!],
};

const randomPlace: ElementwiseFunction = {
  name: 'randomPlace',
  inputs: ['clean', 't', 'length', 'distance'],
  scalars: ['radius'],
  results: ['clamp(clean + 0.5 * min(distance, radius) * t / max(length, 1e-30), 0.0, 1.0)'],
  reference: (clean, t, length, distance, radius) => [
    capped(clean! + (0.5 * Math.min(distance!, radius!) * t!) / Math.max(length!, 1e-30), 0, 1),
  ],
};

const centered: ElementwiseFunction = {
  name: 'centered',
  inputs: ['u'],
  scalars: [],
  results: ['2.0 * u - 1.0'],
  reference: (u) => [2 * u! - 1],
};

const withinRadius: ElementwiseFunction = {
  name: 'withinRadius',
  inputs: ['clean', 'found', 'distance'],
  scalars: ['radius'],
  results: ['orNaN(select(clean, found, distance <= radius), distance)'],
  reference: (clean, found, distance, radius) => [orNaN(distance! <= radius! ? found! : clean!, distance!)],
};

/** Restarts begin at the clean image, or at a random place halfway to the nearest one found. */
function buildStarts(stage: StageContext, x: Tensor, distance: Tensor, own: Tensor): void {
  const { graph, norm, clean, segment, radius } = stage;
  const assign = (value: Tensor, state: Tensor): void => void graph.add('assign', [value, state], {});
  segment('from', () => {
    assign(clean, x);
    stage.set(own, nowhere);
  });
  segment('fromRandom', () => {
    const drawn = stage.random(clean.shape, norm === 'linf' ? 'uniform' : 'normal', stage.draws[0]);
    const t = norm === 'linf' ? elementwiseMap(graph, centered, [drawn]) : drawn;
    assign(
      elementwiseMap(graph, randomPlace, [clean, t, graph.one('sampleNorm', [t], { norm }), distance], [radius]),
      x,
    );
    stage.set(own, nowhere);
  });
}

function build(stage: StageContext, x: Tensor): void {
  const { graph, norm, clean, labels, segment, radius } = stage;
  const samples = [clean.shape[0]!];
  const length = (v: Tensor, by: 'l1' | 'l2' | 'linf' = norm): Tensor => graph.one('sampleNorm', [v], { norm: by });
  const assign = (value: Tensor, state: Tensor): void => void graph.add('assign', [value, state], {});
  const distance = stage.state('distance', samples, nowhere);
  const own = stage.state('rankDistance', samples, nowhere);
  const nearest = stage.state('nearest', samples, nowhere);
  const [offset, w, found] = [
    stage.state('offset', samples),
    stage.state('w', clean.shape),
    stage.state('found', clean.shape),
  ];
  buildStarts(stage, x, distance, own);
  segment('candidate', () => {
    const target = graph.one('classAtRank', [stage.cleanLogits, labels], { rank: { step: 'rank' } });
    const { loss, gradient } = stage.gradientAt(x, x, (_stage, logits) =>
      graph.one('loss', [logits, labels, target], { kind: 'logitDifference' }),
    );
    const [closer] = graph.add('map', [nearest, offset, loss, length(gradient, dual[norm])], {
      fn: nearer,
      scalars: [],
      targets: [0, 1, 'new'],
    });
    graph.add('map', [w, gradient, closer!], { fn: takeIf, scalars: [], targets: [0] });
  });
  segment('move', () => {
    // <w, x> - b of the boundary's linearization is the difference of logits itself
    const toClean = graph.one('sampleNorm', [elementwiseMap(graph, along, [w, clean, x])], { norm: 'sum' });
    const cleanOffset = elementwiseMap(graph, plus, [toClean, offset]);
    const d = projectOnHyperplane(stage, x, w, offset);
    const dClean = projectOnHyperplane(stage, clean, w, cleanOffset);
    const share = elementwiseMap(graph, mixShare, [length(d), length(dClean), nearest], [mostClean]);
    const next = elementwiseMap(graph, mix, [x, d, clean, dClean, share], [overshoot]);
    const { logits } = stage.forward(next);
    const margin = graph.one('loss', [logits, labels], { kind: 'margin' });
    const far = length(elementwiseMap(graph, minus, [next, clean]));
    const [closer, fools] = graph.add('map', [distance, own, far, margin], {
      fn: keepNearest,
      scalars: [],
      targets: [0, 1, 'new', 'new'],
    });
    graph.add('map', [found, next, closer!], { fn: takeIf, scalars: [], targets: [0] });
    assign(elementwiseMap(graph, stepBack, [next, clean, fools!], [backward]), x);
    // Where no class has a gradient next time, there is no hyperplane to go to.
    for (const [state, value] of [
      [nearest, nowhere],
      [w, 0],
      [offset, 0],
    ] as const)
      stage.set(state, value);
  });
  segment('end', () => assign(elementwiseMap(graph, withinRadius, [clean, found, distance], [radius]), x));
}

/** FAB towards one class after another (`ranked`), or in each step towards the class whose boundary is nearest. */
export function fabPlan(ranked: boolean): AttackPlan {
  const ranksOf = ({ classes, parameters }: PlanSettings): number =>
    ranked ? Math.min(parameters['targets']!, classes - 1) : classes - 1;
  return {
    ...{ build, restarts: true, targeted: false },
    phases(settings) {
      const { steps, restarts } = settings;
      const ranks = Array.from({ length: ranksOf(settings) }, (_, k) => k + 1);
      const phases: Phase[] = [];
      let starts = 0;
      const go = (candidates: readonly number[], restart: number): void => {
        phases.push({ segment: restart === 0 ? 'from' : 'fromRandom', rows: [{ draw0: starts++ }] });
        for (let step = 0; step < steps; step++) {
          phases.push({ segment: 'candidate', rows: candidates.map((rank) => ({ rank })) });
          phases.push({ segment: 'move', rows: [{}] });
        }
      };
      for (let restart = 0; restart < restarts; restart++)
        if (ranked) for (const rank of ranks) go([rank], restart);
        else go(ranks, restart);
      return [...phases, { segment: 'end', rows: [{}] }];
    },
    cost(settings) {
      const { steps, restarts } = settings;
      const gradients = steps * restarts * ranksOf(settings);
      return { gradients, forwards: gradients + steps * restarts * (ranked ? ranksOf(settings) : 1) };
    },
  };
}
