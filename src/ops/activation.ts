import { check } from '../errors.js';
import { activationFunction } from '../graph/functions.js';
import type { ActivationKind } from '../graph/functions.js';
import { elementCount, maskShape } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import type { BoundRule } from '../graph/rule.js';
import { expectInput, f32, u32 } from './definition.js';
import type { BackwardContext, OpDefinition } from './definition.js';
import { expectDifferentiable } from './elementwise.js';

/** Whether an activation has one of two slopes everywhere, so that a bit tells its derivative. */
export const hasTwoSlopes = (kind: ActivationKind): boolean =>
  kind !== 'relu6Official' && activationFunction(kind).pieces !== undefined;

export const activation: OpDefinition<'activation'> = {
  infer(inputs, { kind, mask }) {
    const z = expectInput(inputs, 0, 'input', 'f32');
    if (kind === 'prelu') expectInput(inputs, 1, 'slope', 'f32', [z.shape[1]!]);
    check(
      kind !== 'relu6Official' || !mask,
      'bad-argument',
      'the official ReLU6 has no mask: its backward is linear',
      'mask',
    );
    check(!mask || hasTwoSlopes(kind), 'bad-argument', `a bit does not tell the derivative of ${kind}`, 'mask');
    return mask ? [f32(z.shape), u32(maskShape(z.shape))] : [f32(z.shape)];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    const chosen = ctx.rule(node);
    expectDifferentiable(node.attrs.kind);
    const { graph } = ctx;
    const { name } = chosen.kind === 'emit' ? chosen.rule : chosen.use.rule;
    const slope = node.attrs.kind === 'prelu' && ctx.needs(1) ? slopeGradient(ctx, node, gradient) : undefined;
    if (!ctx.needs(0)) return [undefined, slope];
    return graph.scope({ direction: 'inputGradient', rule: name }, () => [
      chosen.kind === 'emit'
        ? chosen.rule.emit({ graph, pointwise: (use, at, g) => applyPointwise(ctx, at, use, g) }, node, gradient)
        : applyPointwise(ctx, node, chosen.use, gradient),
      slope,
    ]);
  },
};

/** The gradient of the slopes of a PReLU, the same under every rule: the sum of g z over the negative z. */
function slopeGradient({ graph }: BackwardContext, node: Node<'activation'>, gradient: Tensor): Tensor {
  return graph.scope({ direction: 'weightGradient' }, () => {
    const negative = graph.one('unary', [node.inputs[0]!], { kind: 'clip', values: [-Infinity, 0] });
    return graph.add('channelSums', [gradient, negative], {})[0]!;
  });
}

function applyPointwise(ctx: BackwardContext, node: Node<'activation'>, use: BoundRule, g: Tensor): Tensor {
  if (use.rule.identity) return g;
  const { kind, values } = node.attrs;
  check(
    kind !== 'relu6Official',
    'bad-argument',
    `${node.layer} is the official code's ReLU6, which exists under LinBP only; give linbp there, not ${use.rule.name}`,
    'rule',
  );
  const { saves } = use.rule;
  const inputs = [g];
  if (saves !== 'nothing') inputs.push(saves === 'mask' && hasTwoSlopes(kind) ? ctx.maskOf(node) : node.inputs[0]!);
  if (saves !== 'nothing' && kind === 'prelu') inputs.push(node.inputs[1]!);
  return ctx.graph.one('activationBackward', inputs, {
    kind,
    rule: use,
    ...(values === undefined ? {} : { values }),
  });
}

export const activationBackward: OpDefinition<'activationBackward'> = {
  infer(inputs, { kind, rule }) {
    const g = expectInput(inputs, 0, 'gradient', 'f32');
    const { saves } = rule.rule;
    if (saves === 'mask' && hasTwoSlopes(kind)) expectInput(inputs, 1, 'mask', 'u32', maskShape(g.shape));
    else if (saves !== 'nothing') expectInput(inputs, 1, 'pre-activation', 'f32', g.shape);
    if (saves !== 'nothing' && kind === 'prelu') expectInput(inputs, 2, 'slope', 'f32', [g.shape[1]!]);
    return [f32(g.shape)];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
};
