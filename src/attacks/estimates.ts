import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { marginObjective } from './nearest.js';
import { orNaN } from './numbers.js';
import { map } from './transformParts.js';
import { projectOnBall, steepestStep } from './stages.js';
import type { AttackPlan, StageContext } from './stages.js';

/*
 * Attacks that estimate gradients by forward passes alone, from pairs of opposite random directions: SPSA with signs
 * and Adam (J. Uesato et al., "Adversarial risk and the dangers of evaluating against weak attacks", ICML 2018) and NES
 * with Gaussian directions and steepest steps (A. Ilyas et al., "Black-box adversarial attacks with limited queries and
 * information", ICML 2018). An image that fools asks no more; its queries are counted.
 */

const asked: ElementwiseFunction = {
  name: 'asked',
  inputs: ['queries', 'fooled', 'idle'],
  scalars: ['count'],
  results: ['queries + select(0.0, count, fooled < 0.5 && idle < 0.5)'],
  reference: (queries, fooled, idle, count) => [queries! + (fooled! < 0.5 && idle! < 0.5 ? count! : 0)],
};

/** Counts queries of the images that have not fooled yet, without those that are `idle`, [N]. */
export function countQueries(stage: StageContext, count: number, idle?: Tensor): void {
  const samples = [stage.clean.shape[0]!];
  const [queries, fooled] = [stage.state('queries', samples), stage.state('fooled', samples)];
  stage.graph.add('map', [queries, fooled, idle ?? fooled], { fn: asked, scalars: [count], targets: [0] });
}

const noteFooled: ElementwiseFunction = {
  name: 'noteFooled',
  inputs: ['fooled', 'margin'],
  scalars: ['direction'],
  results: ['select(fooled, 1.0, direction * margin > 0.0)'],
  reference: (fooled, margin, direction) => [direction! * margin! > 0 ? 1 : fooled!],
};

/** One query of each image: whether it fools. */
function ask(stage: StageContext, x: Tensor): void {
  const { graph } = stage;
  countQueries(stage, 1);
  const { logits } = stage.forward(x);
  const margin = marginObjective(stage, logits, stage.aims);
  const scalars = [stage.direction];
  graph.add('map', [stage.state('fooled', [x.shape[0]!]), margin], { fn: noteFooled, scalars, targets: [0] });
}

const signs: ElementwiseFunction = {
  name: 'randomSigns',
  inputs: ['u'],
  scalars: [],
  results: ['select(1.0, -1.0, u < 0.5)'],
  reference: (u) => [u! < 0.5 ? -1 : 1],
};

const away: ElementwiseFunction = {
  name: 'alongDirection',
  inputs: ['x', 'v'],
  scalars: ['width'],
  results: ['x + width * v'],
  reference: (x, v, width) => [x! + width! * v!],
};

const addEstimate: ElementwiseFunction = {
  name: 'addEstimate',
  inputs: ['sum', 'v', 'above', 'below'],
  scalars: ['factor'],
  results: ['sum + factor * (above - below) * v'],
  reference: (sum, v, above, below, factor) => [sum! + factor! * (above! - below!) * v!],
};

const keepFooled: ElementwiseFunction = {
  name: 'keepFooled',
  inputs: ['x', 'next', 'fooled'],
  scalars: [],
  results: ['select(next, x, fooled > 0.5)'],
  reference: (x, next, fooled) => [fooled! > 0.5 ? x! : next!],
};

const [b1, b2, small] = [0.9, 0.999, 1e-8];

/** Adam, up along `direction` of the margin. */
const adam: ElementwiseFunction = {
  name: 'adamUp',
  inputs: ['x', 'm', 'v', 'g'],
  scalars: ['rate', 'bias1', 'bias2', 'direction'],
  prelude: `  let first = ${b1} * m + ${1 - b1} * g;
  let second = ${b2} * v + ${1 - b2} * g * g;`,
  // A second moment that overflows would stop the steps without a word.
  results: [
    `orNaN(x + direction * rate * (first / bias1) / (sqrt(second / bias2) + ${small}), second)`,
    'first',
    'second',
  ],
  reference: (x, m, v, g, rate, bias1, bias2, direction) => {
    const first = b1 * m! + (1 - b1) * g!;
    const second = b2 * v! + (1 - b2) * g! * g!;
    const moved = x! + (direction! * rate! * (first / bias1!)) / (Math.sqrt(second / bias2!) + small);
    return [orNaN(moved, second), first, second];
  },
};

function next(stage: StageContext, x: Tensor, g: Tensor, spsa: boolean): Tensor {
  const { graph, clean, parameters, direction } = stage;
  if (!spsa) return steepestStep(stage, x, g, g);
  const [m, v] = [stage.state('firstMoment', clean.shape), stage.state('secondMoment', clean.shape)];
  const scalars = [parameters['rate']!, { step: 'bias1' }, { step: 'bias2' }, direction];
  return graph.add('map', [x, m, v, g], { fn: adam, scalars, targets: ['new', 1, 2] })[0]!;
}

/** `spsa` or, without it, NES. */
export const estimatePlan = (spsa: boolean): AttackPlan => ({
  fields: { bias1: 'f32', bias2: 'f32' },
  build(stage, x) {
    const { graph, segment, clean, parameters } = stage;
    const { directions, width } = parameters as Record<'directions' | 'width', number>;
    const estimate = stage.state('estimate', clean.shape);
    const fooled = stage.state('fooled', [clean.shape[0]!]);
    segment('look', () => {
      ask(stage, x);
      stage.set(estimate, 0);
    });
    segment('pair', () => {
      const drawn = stage.random(clean.shape, spsa ? 'uniform' : 'normal', stage.query);
      const v = spsa ? map(stage, signs, [drawn]) : drawn;
      countQueries(stage, 2);
      const [above, below] = [width, -width].map((by) =>
        marginObjective(stage, stage.forward(map(stage, away, [x, v], [by])).logits, stage.aims),
      ) as [Tensor, Tensor];
      const scalars = [1 / (2 * width * directions)];
      graph.add('map', [estimate, v, above, below], { fn: addEstimate, scalars, targets: [0] });
    });
    segment('move', () => {
      const moved = projectOnBall(stage, next(stage, x, estimate, spsa));
      graph.add('assign', [map(stage, keepFooled, [x, moved, fooled]), x], {});
    });
  },
  phases({ steps, parameters }) {
    const pairs = Array.from({ length: parameters['directions']! }, () => ({}));
    return Array.from({ length: steps }, (_, step) => [
      { segment: 'look', rows: [{}] },
      { segment: 'pair', rows: pairs },
      { segment: 'move', rows: [{ bias1: 1 - b1 ** (step + 1), bias2: 1 - b2 ** (step + 1) }] },
    ]).flat();
  },
  cost: ({ steps, parameters }) => ({ gradients: 0, forwards: steps * (1 + 2 * parameters['directions']!) }),
});
