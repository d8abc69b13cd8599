import { check, LinbpError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Node, OpName, Tensor } from '../graph/types.js';
import type { BackwardContext, OpDefinition } from '../ops/definition.js';
import { opTable } from '../ops/table.js';
import type { RuleSelection } from '../rules/select.js';

/** What {@link gradients} differentiates, and with respect to what. */
export interface GradientOptions {
  /** Output [N] of a `loss` node, or, with `seed`, any objective of one's own. */
  readonly loss: Tensor;
  /** A tensor the objective depends on (usually the logits) and the objective's gradient there, already scaled; for objectives that are no `loss` node. */
  readonly seed?: { readonly at: Tensor; readonly gradient: Tensor };
  /** Factor of the sum of the per-sample losses that is differentiated: 1 for the sum, 1/N for the mean. */
  readonly scale: number;
  /** Tensors whose gradients are wanted; nothing else is computed. */
  readonly targets: readonly Tensor[];
  /** The backward of each activation. */
  readonly rules: RuleSelection;
}

/** Tensors that depend on a target: gradients flow through these only. */
function dependents(nodes: readonly Node[], targets: readonly Tensor[]): Set<Tensor> {
  const reached = new Set<Tensor>(targets);
  for (const node of nodes) {
    if (node.inputs.some((input) => reached.has(input))) for (const output of node.outputs) reached.add(output);
  }
  return reached;
}

/**
 * Emits the nodes that compute d(scale * sum of loss)/d(target) for each target, walking the graph's nodes in reverse, and returns
 * the gradients by target. They are added to the current segment, in the layer of the forward node they belong to. Where a tensor
 * is used more than once its gradients are added, the one of the latest use first.
 *
 * Throws `bad-argument` when the loss is not a loss, a target does not influence it, or an op between them has no backward.
 */
export function gradients(graph: Graph, options: GradientOptions): Map<Tensor, Tensor> {
  const { loss, scale, targets, rules, seed } = options;
  const lossNode = loss.producer as Node<'loss'> | undefined;
  check(seed !== undefined || lossNode?.op === 'loss', 'bad-argument', `gradients start from the output of a loss, not from ${loss.name}`, loss.name);
  const forward = [...graph.nodes];
  const reached = dependents(forward, targets);
  const gradientOf = new Map<Tensor, Tensor>();

  const accumulate = (tensor: Tensor, gradient: Tensor): void => {
    const before = gradientOf.get(tensor);
    const direction = tensor.kind === 'parameter' ? 'weightGradient' : 'inputGradient';
    gradientOf.set(tensor, before === undefined ? gradient : graph.scope({ direction }, () => graph.one('add', [before, gradient], {})));
  };

  if (seed !== undefined) {
    const fits = seed.gradient.dtype === 'f32' && seed.gradient.shape.join() === seed.at.shape.join();
    check(fits, 'bad-shape', `the gradient at ${seed.at.name} must be f32 [${seed.at.shape.join(', ')}], got [${seed.gradient.shape.join(', ')}]`, 'gradient');
    if (reached.has(seed.at)) accumulate(seed.at, seed.gradient);
  } else if (lossNode !== undefined) {
    const [logits, labels] = lossNode.inputs as [Tensor, Tensor];
    if (reached.has(logits)) {
      graph.scope({ layer: lossNode.layer, direction: 'inputGradient' }, () =>
        accumulate(logits, graph.one('lossBackward', [logits, labels], { kind: lossNode.attrs.kind, scale })),
      );
    }
  }
  for (const node of forward.reverse()) {
    const gradient = gradientOf.get(node.outputs[0]!);
    const needs = (index: number): boolean => node.inputs[index] !== undefined && reached.has(node.inputs[index]);
    if (gradient === undefined || !node.inputs.some((_, index) => needs(index))) continue;
    const { backward } = opTable[node.op] as unknown as OpDefinition<OpName>;
    if (backward === undefined) {
      throw new LinbpError('bad-argument', `${node.op}${node.layer === '' ? '' : ` (${node.layer})`} has no backward`, {
        field: node.layer || node.op,
      });
    }
    graph.scope({ layer: node.layer, direction: 'inputGradient' }, () => {
      const context: BackwardContext = {
        graph,
        needs,
        outputGradient: (index) => gradientOf.get(node.outputs[index]!),
        rule: rules,
        maskOf: (relu) => graph.addMask(relu),
      };
      const contributions = backward(context, node, gradient);
      node.inputs.forEach((input, index) => {
        const contribution = contributions[index];
        if (contribution !== undefined && reached.has(input)) accumulate(input, contribution);
      });
    });
  }
  return new Map(
    targets.map((target) => {
      const gradient = gradientOf.get(target);
      check(gradient !== undefined, 'bad-argument', `the loss does not depend on ${target.name}`, target.name);
      return [target, gradient];
    }),
  );
}
