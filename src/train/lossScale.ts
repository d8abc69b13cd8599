import { expectFloat32Number } from '../arguments.js';
import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, Node, Tensor } from '../graph/types.js';
import type { Optimizer, OptimizerTensors } from './optimizers.js';

/** How the loss is scaled while gradients are stored as f16. */
export interface LossScaleOptions {
  /** The first scale, above 0; 65536 unless given. */
  readonly initial?: number;
  /** Good steps in a row after which the scale doubles, 1 to 1,000,000; 2000 unless given. */
  readonly growthInterval?: number;
}

/** {@link LossScaleOptions} with defaults filled in. */
export type LossScaleSettings = Required<LossScaleOptions>;

/** Where a loss scale stands. */
export interface LossScaleState {
  readonly scale: number;
  /** Good steps since the scale last changed. */
  readonly goodSteps: number;
  /** Steps whose gradients overflowed; they changed no weight. */
  readonly skippedSteps: number;
}

/** Fills in the defaults of `torch.amp.GradScaler`. Throws `bad-range`. */
export function resolveLossScale({ initial = 65536, growthInterval = 2000 }: LossScaleOptions): LossScaleSettings {
  expectFloat32Number(initial, 'lossScale', (value) => value > 0, 'begin with a finite number above 0');
  const whole = Number.isInteger(growthInterval) && growthInterval >= 1 && growthInterval <= 1_000_000;
  check(
    whole,
    'bad-range',
    `lossScale.growthInterval must be a whole number from 1 to 1000000, got ${growthInterval}`,
    'lossScale',
  );
  return { initial, growthInterval };
}

/** Names of the states of a loss scale, f32 [1] each, in the order of {@link LossScaleState}. */
export const lossScaleStates = ['scale', 'goodSteps', 'skippedSteps'] as const;

const scaleGradient: ElementwiseFunction = {
  name: 'scaleGradient',
  inputs: ['g', 'scale'],
  scalars: [],
  results: ['g * scale'],
  reference: (g, scale) => [g! * scale!],
};

/** The gradient at the logits times the scale, which f16 gradients behind it then have. */
export const scaled = (graph: Graph, gradient: Tensor, scale: Tensor): Tensor =>
  graph.scope({ layer: 'loss', direction: 'inputGradient' }, () =>
    graph.one('map', [gradient, scale], { fn: scaleGradient, scalars: [], targets: ['new'] }),
  );

const moveScale: ElementwiseFunction = {
  name: 'lossScale',
  inputs: ['scale', 'good', 'skipped', 'overflow'],
  scalars: ['interval'],
  prelude: `  let bad = overflow > 0.0;
  let grown = good + 1.0 >= interval;`,
  results: [
    'select(select(scale, scale * 2.0, grown), scale * 0.5, bad)',
    'select(good + 1.0, 0.0, bad || grown)',
    'select(skipped, skipped + 1.0, bad)',
    'select(1.0 / scale, 0.0, bad)',
  ],
  reference: (scale, good, skipped, overflow, interval) => {
    if (overflow! > 0) return [scale! / 2, 0, skipped! + 1, 0];
    const grown = good! + 1 >= interval!;
    return [grown ? 2 * scale! : scale!, grown ? 0 : good! + 1, skipped!, 1 / scale!];
  },
};

/**
 * Ends a step whose gradients were scaled, without a read-back, as `torch.amp.GradScaler` does (PyTorch 2,
 * torch/amp/grad_scaler.py): where a gradient is not finite the update is left out and the scale halves; after
 * `growthInterval` good steps in a row it doubles. Otherwise the optimizer sees the gradients divided by the scale.
 * Its step number goes on over steps that are left out.
 *
 * @throws LinbpError `bad-argument` for an optimizer that changes its tensors by anything but elementwise `map` nodes
 */
export function updateScaled(
  graph: Graph,
  optimizer: Optimizer,
  tensors: OptimizerTensors,
  states: readonly Tensor[],
  { growthInterval }: LossScaleSettings,
): void {
  const overflow = graph.one('overflow', [tensors.gradients], {});
  const attrs = { fn: moveScale, scalars: [growthInterval], targets: [0, 1, 2, 'new'] } as const;
  const inverse = graph.one('map', [...states, overflow], attrs);
  const first = graph.nodes.length;
  optimizer.emit(graph, tensors);
  for (let index = first; index < graph.nodes.length; index++) {
    const node = graph.nodes[index]!;
    if (node.mutates.length === 0 && !node.inputs.includes(tensors.gradients)) continue;
    const elementwise =
      `${optimizer.name} changes its tensors by ${node.op}; with ` +
      'f16 gradients only elementwise maps can be left out of a step';
    check(node.op === 'map', 'bad-argument', elementwise, 'optimizer');
    graph.nodes[index] = guarded(node as unknown as Node<'map'>, tensors.gradients, inverse) as unknown as Node;
    for (const output of node.outputs) output.producer = graph.nodes[index];
  }
}

/** The same map on gradients times `inverse`; where that is zero, nothing is overwritten. */
function guarded(node: Node<'map'>, gradients: Tensor, inverse: Tensor): Node<'map'> {
  const { fn, targets } = node.attrs;
  const isGradient = node.inputs.map((input) => input === gradients);
  const count = fn.inputs.length;
  const unscaled = fn.inputs
    .filter((_, slot) => isGradient[slot])
    .map((name) => `  let ${name} = scaled_${name} * inverse;`);
  const whole: ElementwiseFunction = {
    name: fn.name,
    inputs: [...fn.inputs.map((name, slot) => (isGradient[slot] ? `scaled_${name}` : name)), 'inverse'],
    scalars: fn.scalars,
    prelude: [...unscaled, ...(fn.prelude === undefined ? [] : [fn.prelude])].join('\n'),
    results: fn.results.map((result, index) => {
      const target = targets[index]!;
      return target === 'new' ? result : `select(${result}, ${fn.inputs[target]}, inverse == 0.0)`;
    }),
    reference: (...values) => {
      const factor = values[count]!;
      const inputs = values.slice(0, count).map((value, slot) => (isGradient[slot] ? value * factor : value));
      const results = fn.reference(...inputs, ...values.slice(count + 1));
      return results.map((result, index) => {
        const target = targets[index]!;
        return target === 'new' || factor !== 0 ? result : inputs[target]!;
      });
    },
  };
  return { ...node, inputs: [...node.inputs, inverse], attrs: { ...node.attrs, fn: whole } };
}
