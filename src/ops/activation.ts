import { check } from '../errors.js';
import { elementCount, maskShape } from '../graph/types.js';
import { expectInput, f32, u32 } from './definition.js';
import type { OpDefinition } from './definition.js';

export const activation: OpDefinition<'activation'> = {
  infer(inputs, attrs) {
    const z = expectInput(inputs, 0, 'input', 'f32');
    check(
      attrs.kind !== 'relu6Official' || !attrs.mask,
      'bad-argument',
      'the official ReLU6 has no mask: its backward is linear',
      'mask',
    );
    return attrs.mask ? [f32(z.shape), u32(maskShape(z.shape))] : [f32(z.shape)];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    const chosen = ctx.rule(node);
    const { graph } = ctx;
    const { name } = chosen.kind === 'emit' ? chosen.rule : chosen.use.rule;
    return graph.scope({ direction: 'inputGradient', rule: name }, () => [
      chosen.kind === 'emit'
        ? chosen.rule.emit({ graph, pointwise: (use, at, g) => applyPointwise(ctx, at, use, g) }, node, gradient)
        : applyPointwise(ctx, node, chosen.use, gradient),
    ]);
  },
};

type Ctx = Parameters<NonNullable<(typeof activation)['backward']>>[0];
type ActivationNode = Parameters<NonNullable<(typeof activation)['backward']>>[1];

function applyPointwise(
  ctx: Ctx,
  node: ActivationNode,
  use: import('../graph/rule.js').BoundRule,
  g: import('../graph/types.js').Tensor,
) {
  if (use.rule.identity) return g;
  const { kind } = node.attrs;
  check(
    kind !== 'relu6Official',
    'bad-argument',
    `${node.layer} is the official code's ReLU6, which exists under LinBP only; give linbp there, not ${use.rule.name}`,
    'rule',
  );
  const saved = use.rule.saves === 'mask' ? [ctx.maskOf(node)] : use.rule.saves === 'input' ? [node.inputs[0]!] : [];
  return ctx.graph.one('activationBackward', [g, ...saved], { kind, rule: use });
}

export const activationBackward: OpDefinition<'activationBackward'> = {
  infer(inputs, attrs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32');
    if (attrs.rule.rule.saves === 'mask') expectInput(inputs, 1, 'mask', 'u32', maskShape(g.shape));
    if (attrs.rule.rule.saves === 'input') expectInput(inputs, 1, 'pre-activation', 'f32', g.shape);
    return [f32(g.shape)];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
};
