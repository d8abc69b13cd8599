import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { ConvAttrs, Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

/** Output size of a window sweep along one axis. */
export function windowOutput(
  size: number,
  kernel: number,
  stride: number,
  before: number,
  after: number,
  dilation: number,
): number {
  return Math.floor((size + before + after - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** [N, O, OH, OW] of a convolution of x [N, C, H, W] with w [O, C/groups, KH, KW]. */
export function convOutputShape(x: readonly number[], w: readonly number[], attrs: ConvAttrs): number[] {
  const [n = 0, , h = 0, width = 0] = x;
  const [o = 0, , kh = 0, kw = 0] = w;
  const [top, left, bottom, right] = attrs.padding;
  return [
    n,
    o,
    windowOutput(h, kh, attrs.stride[0], top, bottom, attrs.dilation[0]),
    windowOutput(width, kw, attrs.stride[1], left, right, attrs.dilation[1]),
  ];
}

function checkConv(x: readonly number[], w: readonly number[], attrs: ConvAttrs): void {
  const positive = (values: readonly number[], least: number, name: string): void =>
    check(
      values.every((value) => Number.isInteger(value) && value >= least),
      'bad-range',
      `${name} must be integers >= ${least}, got ${values.join(', ')}`,
      name,
    );
  positive(attrs.stride, 1, 'stride');
  positive(attrs.dilation, 1, 'dilation');
  positive(attrs.padding, 0, 'padding');
  positive([attrs.groups], 1, 'groups');
  const fits = x[1] === (w[1] ?? 0) * attrs.groups && (w[0] ?? 0) % attrs.groups === 0;
  check(
    fits,
    'bad-shape',
    `weight [${w.join(', ')}] with ${attrs.groups} groups does not fit an input of ${x[1]} channels`,
    'weight',
  );
}

const convFlops = (y: Tensor, w: readonly number[]): number => 2 * elementCount(y.shape) * elementCount(w.slice(1));

export const conv2d: OpDefinition<'conv2d'> = {
  infer(inputs, attrs) {
    const x = expectInput(inputs, 0, 'input', 'f32', 4);
    const w = expectInput(inputs, 1, 'weight', 'f32', 4);
    checkConv(x.shape, w.shape, attrs);
    if (inputs.length > 2) expectInput(inputs, 2, 'bias', 'f32', [w.shape[0]!]);
    const shape = convOutputShape(x.shape, w.shape, attrs);
    check(
      shape[2]! > 0 && shape[3]! > 0,
      'bad-shape',
      `a ${w.shape[2]}x${w.shape[3]} kernel does not fit an input of ${x.shape[2]}x${x.shape[3]}`,
      'input',
    );
    return [f32(shape)];
  },
  flops: (node) => convFlops(node.outputs[0]!, node.inputs[1]!.shape),
  backward(ctx, node, gradient) {
    const [x, w, b] = node.inputs as [Tensor, Tensor, Tensor | undefined];
    const { graph } = ctx;
    const bias = b !== undefined && ctx.needs(2);
    // The weight gradient first: the layer's input is then free before the next gradient needs memory.
    const [dw, db] =
      ctx.needs(1) || bias
        ? graph.scope({ direction: 'weightGradient' }, () =>
            graph.add('conv2dWeightGradient', [gradient, x], { ...node.attrs, weightShape: w.shape, bias }),
          )
        : [];
    const dx = ctx.needs(0)
      ? graph.scope({ direction: 'inputGradient' }, () =>
          graph.one('conv2dInputGradient', [gradient, w], { ...node.attrs, inputShape: x.shape }),
        )
      : undefined;
    return [dx, dw, db];
  },
};

export const conv2dInputGradient: OpDefinition<'conv2dInputGradient'> = {
  infer(inputs, attrs) {
    const w = expectInput(inputs, 1, 'weight', 'f32', 4);
    expectInput(inputs, 0, 'gradient', 'f32', convOutputShape(attrs.inputShape, w.shape, attrs));
    return [f32(attrs.inputShape)];
  },
  flops: (node) => convFlops(node.inputs[0]!, node.inputs[1]!.shape),
  // The transpose of a convolution is a layer of its own, too; its gradients are the convolution itself.
  backward(ctx, node, gradient) {
    const [g, w] = node.inputs as [Tensor, Tensor];
    const { stride, padding, dilation, groups } = node.attrs;
    const attrs = { stride, padding, dilation, groups };
    const { graph } = ctx;
    const dw = ctx.needs(1)
      ? graph.scope({ direction: 'weightGradient' }, () =>
          graph.one('conv2dWeightGradient', [g, gradient], { ...attrs, weightShape: w.shape, bias: false }),
        )
      : undefined;
    const dg = ctx.needs(0)
      ? graph.scope({ direction: 'inputGradient' }, () => graph.one('conv2d', [gradient, w], attrs))
      : undefined;
    return [dg, dw];
  },
};

export const conv2dWeightGradient: OpDefinition<'conv2dWeightGradient'> = {
  infer(inputs, attrs) {
    const x = expectInput(inputs, 1, 'input', 'f32', 4);
    expectInput(inputs, 0, 'gradient', 'f32', convOutputShape(x.shape, attrs.weightShape, attrs));
    return attrs.bias ? [f32(attrs.weightShape), f32([attrs.weightShape[0]!])] : [f32(attrs.weightShape)];
  },
  flops: (node) => convFlops(node.inputs[0]!, node.attrs.weightShape),
};
