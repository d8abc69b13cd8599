import { elementCount } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

export const logSoftmax: OpDefinition<'logSoftmax'> = {
  infer: (inputs) => [f32(expectInput(inputs, 0, 'input', 'f32', 2).shape)],
  flops: (node) => 4 * elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    const y = node.outputs[0]!;
    return [
      ctx.needs(0)
        ? ctx.graph.scope({ direction: 'inputGradient' }, () => ctx.graph.one('logSoftmaxBackward', [gradient, y], {}))
        : undefined,
    ];
  },
};

export const logSoftmaxBackward: OpDefinition<'logSoftmaxBackward'> = {
  infer(inputs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32', 2);
    expectInput(inputs, 1, 'log-softmax', 'f32', g.shape);
    return [f32(g.shape)];
  },
  flops: (node) => 4 * elementCount(node.outputs[0]!.shape),
};
