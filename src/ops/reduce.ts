import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { expectInput, f32, u32 } from './definition.js';
import type { OpDefinition } from './definition.js';

/** A shape with size 1 along `axes`. */
export const reducedShape = (shape: readonly number[], axes: readonly number[]): number[] =>
  shape.map((size, axis) => (axes.includes(axis) ? 1 : size));

export const reduce: OpDefinition<'reduce'> = {
  infer(inputs, { kind, axes }) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    const fits = axes.length > 0 && axes.every((axis) => Number.isInteger(axis) && axis >= 0 && axis < x.shape.length);
    check(
      fits && new Set(axes).size === axes.length,
      'bad-range',
      `axes must be different ones of the ${x.shape.length} of [${x.shape.join(', ')}], got ${axes.join(', ')}`,
      'axes',
    );
    const shape = reducedShape(x.shape, axes);
    return kind === 'max' ? [f32(shape), u32(shape)] : [f32(shape)];
  },
  flops: (node) => elementCount(node.inputs[0]!.shape),
  backward(ctx, node, gradient) {
    const { graph } = ctx;
    const { kind, axes } = node.attrs;
    const { shape } = node.inputs[0]!;
    return graph.scope({ direction: 'inputGradient' }, () => {
      if (kind === 'max')
        return [graph.one('reduceMaxBackward', [gradient, node.outputs[1]!], { axes, inputShape: shape })];
      const count = elementCount(shape) / elementCount(gradient.shape);
      const scaled =
        kind === 'sum' ? gradient : graph.one('unary', [gradient], { kind: 'affine', values: [1 / count, 0] });
      return [graph.one('expand', [scaled], { shape })];
    });
  },
};

export const reduceMaxBackward: OpDefinition<'reduceMaxBackward'> = {
  infer(inputs, { axes, inputShape }) {
    const shape = reducedShape(inputShape, axes);
    expectInput(inputs, 0, 'gradient', 'f32', shape);
    expectInput(inputs, 1, 'places', 'u32', shape);
    return [f32(inputShape)];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
};
