import { check } from '../errors.js';
import type { Pair, Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

const unit: Pair = [1, 1];

/** A [N, C, ...] tensor's channels `first` .. `first + like.C` as a tensor shaped like `like`. */
const sliceLike = (first: number, like: Tensor) => ({ first, stride: unit, shape: like.shape });

export const concat: OpDefinition<'concat'> = {
  infer(inputs, { axis = 1 }) {
    const { shape } = expectInput(inputs, 0, 'input', 'f32');
    check(
      Number.isInteger(axis) && axis >= 0 && axis < shape.length,
      'bad-range',
      `[${shape.join(', ')}] has no axis ${axis}`,
      'axis',
    );
    const like = shape.map((size, at) => (at === axis ? 'any' : size));
    let size = 0;
    for (let index = 0; index < inputs.length; index++)
      size += expectInput(inputs, index, 'input', 'f32', like).shape[axis]!;
    return [f32(shape.map((whole, at) => (at === axis ? size : whole)))];
  },
  flops: () => 0,
  backward(ctx, node, gradient) {
    const { axis = 1 } = node.attrs;
    let first = 0;
    return ctx.graph.scope({ direction: 'inputGradient' }, () =>
      node.inputs.map((part, index) => {
        const begin = first;
        first += part.shape[axis]!;
        if (!ctx.needs(index)) return undefined;
        if (axis === 1) return ctx.graph.one('channelSlice', [gradient], sliceLike(begin, part));
        const start = part.shape.map((_, at) => (at === axis ? begin : 0));
        return ctx.graph.one('slice', [gradient], { start, step: start.map(() => 1), size: part.shape });
      }),
    );
  },
};

export const channelPad: OpDefinition<'channelPad'> = {
  infer(inputs, { before, after, stride }) {
    const [n, c, h, w] = expectInput(inputs, 0, 'input', 'f32', 4).shape as [number, number, number, number];
    check(
      before >= 0 && after >= 0 && stride.every((step) => step >= 1),
      'bad-range',
      'channels to add must be >= 0, strides >= 1',
      'stride',
    );
    return [f32([n, before + c + after, Math.ceil(h / stride[0]), Math.ceil(w / stride[1])])];
  },
  flops: () => 0,
  backward(ctx, node, gradient) {
    const { before, stride } = node.attrs;
    const attrs = { first: before, stride, shape: node.inputs[0]!.shape };
    return [
      ctx.needs(0)
        ? ctx.graph.scope({ direction: 'inputGradient' }, () => ctx.graph.one('channelSlice', [gradient], attrs))
        : undefined,
    ];
  },
};

export const channelSlice: OpDefinition<'channelSlice'> = {
  infer(inputs, { first, stride, shape }) {
    const x = expectInput(inputs, 0, 'input', 'f32');
    const strided = stride.some((step) => step !== 1);
    const rest = strided ? shape.slice(2).map((size, axis) => Math.ceil(size / stride[axis]!)) : shape.slice(2);
    expectInput(inputs, 0, 'input', 'f32', [shape[0]!, 'C', ...rest]);
    check(
      first >= 0 && first + shape[1]! <= x.shape[1]!,
      'bad-shape',
      `channels ${first} to ${first + shape[1]!} are not in [${x.shape.join(', ')}]`,
      'input',
    );
    return [f32(shape)];
  },
  flops: () => 0,
  backward(ctx, node, gradient) {
    const { first, stride, shape } = node.attrs;
    const x = node.inputs[0]!;
    check(gradient.shape.length === 4, 'bad-argument', 'only slices of images have a gradient', 'input');
    const attrs = { before: first, after: x.shape[1]! - first - shape[1]!, stride };
    return [
      ctx.needs(0)
        ? ctx.graph.scope({ direction: 'inputGradient' }, () => ctx.graph.one('channelPad', [gradient], attrs))
        : undefined,
    ];
  },
};
