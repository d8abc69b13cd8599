import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

/** Draws its mask again in the backward pass from the same counters, so nothing is saved for it. */
export const dropout: OpDefinition<'dropout'> = {
  infer(inputs, { p, firstElement }) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    expectInput(inputs, 1, 'sampleIds', 'u32', [x.shape[0]!]);
    check(p >= 0 && p < 1, 'bad-range', `the share of dropped values must be in [0, 1), got ${p}`, 'p');
    check(
      Number.isInteger(firstElement) && firstElement % 4 === 0,
      'bad-range',
      `firstElement must be a multiple of 4, got ${firstElement}`,
      'firstElement',
    );
    return [f32(x.shape)];
  },
  flops: (node) => 20 * elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    if (!ctx.needs(0)) return [undefined];
    return [
      ctx.graph.scope({ direction: 'inputGradient' }, () =>
        ctx.graph.one('dropout', [gradient, node.inputs[1]!], node.attrs),
      ),
    ];
  },
};
