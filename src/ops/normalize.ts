import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

export const normalize: OpDefinition<'normalize'> = {
  infer(inputs, { first, epsilon }) {
    const { shape } = expectInput(inputs, 0, 'input', 'f32');
    check(
      Number.isInteger(first) && first > 0 && first < shape.length,
      'bad-range',
      `the first normalized axis of [${shape.join(', ')}] must be from 1 to ${shape.length - 1}, got ${first}`,
      'first',
    );
    check(
      epsilon >= 0 && Number.isFinite(epsilon),
      'bad-range',
      `epsilon must be at least 0, got ${epsilon}`,
      'epsilon',
    );
    const rows = shape.slice(0, first);
    return [f32(shape), f32(rows), f32(rows)];
  },
  flops: (node) => 6 * elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    if (!ctx.needs(0)) return [];
    const [x] = node.inputs as [Tensor];
    const [, mean, scale] = node.outputs as [Tensor, Tensor, Tensor];
    const { graph } = ctx;
    return graph.scope({ direction: 'inputGradient' }, () => [
      graph.one('normalizeBackward', [gradient, x, mean, scale], node.attrs),
    ]);
  },
};

export const normalizeBackward: OpDefinition<'normalizeBackward'> = {
  infer(inputs, { first }) {
    const g = expectInput(inputs, 0, 'gradient', 'f32');
    expectInput(inputs, 1, 'input', 'f32', g.shape);
    expectInput(inputs, 2, 'mean', 'f32', g.shape.slice(0, first));
    expectInput(inputs, 3, 'scale', 'f32', g.shape.slice(0, first));
    return [f32(g.shape)];
  },
  flops: (node) => 9 * elementCount(node.outputs[0]!.shape),
};
