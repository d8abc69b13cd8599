import { check } from '../errors.js';
import { argmaxShape, elementCount } from '../graph/types.js';
import type { Node, PoolAttrs, Tensor } from '../graph/types.js';
import { expectInput, f32, u32 } from './definition.js';
import type { OpDefinition } from './definition.js';

/**
 * Output size along one axis; with `ceilMode` a last window is kept only if it starts inside the input or its leading
 * padding.
 */
export function poolOutput(
  size: number,
  kernel: number,
  stride: number,
  before: number,
  after: number,
  ceilMode: boolean,
): number {
  const span = size + before + after - kernel;
  let out = (ceilMode ? Math.ceil(span / stride) : Math.floor(span / stride)) + 1;
  if (ceilMode && (out - 1) * stride >= size + before) out -= 1;
  return out;
}

/** Shape of a pooled tensor [N, C, H, W]. */
export function poolOutputShape(x: readonly number[], attrs: PoolAttrs): number[] {
  const [top, left, bottom, right] = attrs.padding;
  return [
    x[0]!,
    x[1]!,
    poolOutput(x[2]!, attrs.kernel[0], attrs.stride[0], top, bottom, attrs.ceilMode),
    poolOutput(x[3]!, attrs.kernel[1], attrs.stride[1], left, right, attrs.ceilMode),
  ];
}

function inferPool(inputs: readonly Tensor[], attrs: PoolAttrs): number[] {
  const x = expectInput(inputs, 0, 'input', 'f32', 4);
  const [top, left, bottom, right] = attrs.padding;
  const half =
    top <= attrs.kernel[0] / 2 &&
    bottom <= attrs.kernel[0] / 2 &&
    left <= attrs.kernel[1] / 2 &&
    right <= attrs.kernel[1] / 2;
  check(
    half,
    'bad-range',
    `padding ${attrs.padding.join(', ')} must be at most half the window ${attrs.kernel.join('x')}`,
    'padding',
  );
  const shape = poolOutputShape(x.shape, attrs);
  check(
    shape[2]! > 0 && shape[3]! > 0,
    'bad-shape',
    `a window of ${attrs.kernel.join('x')} does not fit an input of ${x.shape[2]}x${x.shape[3]}`,
    'input',
  );
  return shape;
}

/** Places of a window that the byte of a packed argmax tells apart. */
const mostPlaces = 256;

function checkPlaces({ kernel }: PoolAttrs): void {
  const places = kernel[0] * kernel[1];
  check(
    places <= mostPlaces,
    'limit-exceeded',
    `max-pool windows have at most ${mostPlaces} pixels, got ${kernel.join('x')}`,
    'kernel',
  );
}

const windowFlops = (out: Tensor, attrs: PoolAttrs): number =>
  elementCount(out.shape) * attrs.kernel[0] * attrs.kernel[1];

export const maxPool2d: OpDefinition<'maxPool2d'> = {
  infer(inputs, attrs) {
    const shape = inferPool(inputs, attrs);
    checkPlaces(attrs);
    return [f32(shape), u32(argmaxShape(shape))];
  },
  flops: (node) => windowFlops(node.outputs[0]!, node.attrs),
  backward(ctx, node, gradient) {
    if (!ctx.needs(0)) return [undefined];
    const rule = ctx.rule.maxPool?.(node);
    if (rule !== undefined)
      return [
        ctx.graph.scope({ direction: 'inputGradient', rule: rule.name }, () => rule.emit(ctx.graph, node, gradient)),
      ];
    const attrs = { ...node.attrs, inputShape: node.inputs[0]!.shape };
    return [
      ctx.graph.scope({ direction: 'inputGradient' }, () =>
        ctx.graph.one('maxPool2dBackward', [gradient, node.outputs[1]!], attrs),
      ),
    ];
  },
};

export const maxPool2dBackward: OpDefinition<'maxPool2dBackward'> = {
  infer(inputs, attrs) {
    checkPlaces(attrs);
    const shape = poolOutputShape(attrs.inputShape, attrs);
    expectInput(inputs, 0, 'gradient', 'f32', shape);
    expectInput(inputs, 1, 'argmax', 'u32', argmaxShape(shape));
    return [f32(attrs.inputShape)];
  },
  flops: (node) => windowFlops(node.inputs[0]!, node.attrs),
};

export const maxPool2dSoftmaxBackward: OpDefinition<'maxPool2dSoftmaxBackward'> = {
  infer(inputs, attrs) {
    expectInput(inputs, 0, 'gradient', 'f32', poolOutputShape(attrs.inputShape, attrs));
    expectInput(inputs, 1, 'input', 'f32', attrs.inputShape);
    return [f32(attrs.inputShape)];
  },
  flops: (node) => 8 * windowFlops(node.inputs[0]!, node.attrs),
};

export const avgPool2d: OpDefinition<'avgPool2d'> = {
  infer: (inputs, attrs) => [f32(inferPool(inputs, attrs))],
  flops: (node) => windowFlops(node.outputs[0]!, node.attrs),
  backward(ctx, node, gradient) {
    if (!ctx.needs(0)) return [undefined];
    const attrs = { ...node.attrs, inputShape: node.inputs[0]!.shape };
    return [
      ctx.graph.scope({ direction: 'inputGradient' }, () => ctx.graph.one('avgPool2dBackward', [gradient], attrs)),
    ];
  },
};

export const avgPool2dBackward: OpDefinition<'avgPool2dBackward'> = {
  infer(inputs, attrs) {
    expectInput(inputs, 0, 'gradient', 'f32', poolOutputShape(attrs.inputShape, attrs));
    return [f32(attrs.inputShape)];
  },
  flops: (node) => windowFlops(node.inputs[0]!, node.attrs),
};

const adaptiveShape = (x: readonly number[], size: readonly [number, number]): number[] => [
  x[0]!,
  x[1]!,
  size[0],
  size[1],
];
const adaptiveFlops = (node: Node): number =>
  Math.max(elementCount(node.inputs[0]!.shape), elementCount(node.outputs[0]!.shape));

export const adaptiveAvgPool2d: OpDefinition<'adaptiveAvgPool2d'> = {
  infer: (inputs, attrs) => [f32(adaptiveShape(expectInput(inputs, 0, 'input', 'f32', 4).shape, attrs.size))],
  flops: (node) => adaptiveFlops(node as unknown as Node),
  backward(ctx, node, gradient) {
    if (!ctx.needs(0)) return [undefined];
    const attrs = { ...node.attrs, inputShape: node.inputs[0]!.shape };
    return [
      ctx.graph.scope({ direction: 'inputGradient' }, () =>
        ctx.graph.one('adaptiveAvgPool2dBackward', [gradient], attrs),
      ),
    ];
  },
};

export const adaptiveAvgPool2dBackward: OpDefinition<'adaptiveAvgPool2dBackward'> = {
  infer(inputs, attrs) {
    expectInput(inputs, 0, 'gradient', 'f32', adaptiveShape(attrs.inputShape, attrs.size));
    return [f32(attrs.inputShape)];
  },
  flops: (node) => adaptiveFlops(node as unknown as Node),
};
