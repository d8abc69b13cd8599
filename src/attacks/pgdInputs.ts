import { orNaN } from './numbers.js';
import { elementwiseMap } from './stages.js';
import { gradients } from '../autodiff/gradients.js';
import { expectFields, expectFloat32Number, expectOneOf } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check } from '../errors.js';
import type { PointwiseRule } from '../graph/rule.js';
import type { ElementwiseFunction } from '../graph/types.js';
import { addModel, positionTable } from '../nn/definition.js';
import { randomStreams } from '../random/philox.js';
import { parseRules } from '../rules/parse.js';
import { resolveRules } from '../rules/resolve.js';
import type { InputStage } from '../train/step.js';

const ball = 'min(max(v, max(x - radius, 0.0)), min(x + radius, 1.0))';
const clamped = (v: number, x: number, radius: number): number =>
  Math.min(Math.max(v, Math.max(x - radius, 0)), Math.min(x + radius, 1));

/** A uniform point of the ball, inside [0, 1]. */
const randomPoint: ElementwiseFunction = {
  name: 'innerStart',
  inputs: ['x', 'u'],
  scalars: ['radius'],
  prelude: '  let v = x + (2.0 * u - 1.0) * radius;',
  results: [ball],
  reference: (x, u, radius) => [clamped(x! + (2 * u! - 1) * radius!, x!, radius!)],
};

/** A sign step from `y`, back into the ball around `x` and into [0, 1]. */
const projectedStep: ElementwiseFunction = {
  name: 'innerStep',
  inputs: ['y', 'g', 'x'],
  scalars: ['radius', 'alpha'],
  prelude: '  let v = y + alpha * sign(g);',
  results: [`orNaN(${ball}, g)`],
  reference: (y, g, x, radius, alpha) => [orNaN(clamped(y! + alpha! * Math.sign(g!), x!, radius!), g!)],
};

/** The inner attack of adversarial training. */
export interface InnerAttack {
  /** Backward rule of the attack's gradient; the rule of the weight update is the trainer's own. */
  readonly rules: string;
  /** Rules that `rules` may name beside the built-in ones. */
  readonly userRules?: readonly PointwiseRule[];
  /** Radius in pixels. */
  readonly eps: number;
  /** Step size in pixels. */
  readonly alpha: number;
  /** Gradient steps, from 1. */
  readonly steps: number;
  /**
   * Whether batch norm uses the batch (`train`, which moves no running statistics) or the running statistics; default
   * `train`.
   */
  readonly mode?: 'train' | 'eval';
}

const innerFields: FieldNames<InnerAttack> = {
  ...{ rules: true, userRules: true, eps: true, alpha: true, steps: true, mode: true },
};

/**
 * PGD inside the training step (A. Madry et al., 2018): a random start in the ball, `steps` sign steps up the cross
 * entropy, each followed by the projection onto the ball and [0, 1]. All of it is part of the step's own program,
 * with no read-back.
 *
 * @throws LinbpError `bad-range`, `unknown-rule`, `unknown-option`; of layers, when the trainer compiles
 */
export function pgdInputs(options: InnerAttack): InputStage {
  expectFields(options, innerFields);
  const { rules, userRules, eps, alpha, steps, mode = 'train' } = options;
  expectOneOf(mode, ['train', 'eval'], 'mode');
  check(
    Number.isInteger(steps) && steps >= 1 && steps <= 100,
    'bad-range',
    `steps must be a whole number from 1 to 100, got ${steps}`,
    'steps',
  );
  const specs = parseRules(rules, userRules);
  expectFloat32Number(eps, 'eps', (value) => value >= 0 && value <= 1, 'a number from 0 to 1');
  expectFloat32Number(alpha, 'alpha', (value) => value >= 0, 'a number of at least 0');
  return {
    name: `pgd rules=${rules} eps=${eps} alpha=${alpha} steps=${steps} mode=${mode}`,
    emit({ graph, definition, stores, images, labels, sampleIds, step, seed }) {
      const selection = resolveRules(specs, positionTable(definition));
      const stream = randomStreams.randomStart;
      const uniform = graph.one('random', [sampleIds], {
        shape: images.shape,
        distribution: 'uniform',
        stream,
        seed,
        step,
      });
      let x = elementwiseMap(graph, randomPoint, [images, uniform], [eps]);
      for (let k = 0; k < steps; k++) {
        const { logits } = addModel(graph, definition, x, {
          stores,
          training: mode === 'train',
          updateStatistics: false,
        });
        const loss = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
        const gradient = gradients(graph, { loss, scale: 1, targets: [x], rules: selection }).get(x)!;
        x = elementwiseMap(graph, projectedStep, [x, gradient, images], [eps, alpha]);
      }
      return x;
    },
  };
}
