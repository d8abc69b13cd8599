import { check } from '../errors.js';
import type { GraphBuilder } from '../graph/builder.js';
import { isDifferentiable } from '../graph/functions.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

/** Throws `bad-argument` where a function was registered without its slope. */
export function expectDifferentiable(kind: string): void {
  check(
    isDifferentiable(kind),
    'bad-argument',
    `${kind} has no derivative, which training and attacks need; register it with a slope`,
    kind,
  );
}

export const unary: OpDefinition<'unary'> = {
  infer: (inputs) => [f32(expectInput(inputs, 0, 'input', 'f32').shape)],
  flops: (node) => elementCount(node.outputs[0]!.shape),
  backward(ctx, node, gradient) {
    const { graph } = ctx;
    const { kind, values } = node.attrs;
    expectDifferentiable(kind);
    return graph.scope({ direction: 'inputGradient' }, () => [
      kind === 'affine'
        ? graph.one('unary', [gradient], { kind, values: [values?.[0] ?? 1] })
        : graph.one('unaryBackward', [gradient, node.inputs[0]!], node.attrs),
    ]);
  },
};

export const unaryBackward: OpDefinition<'unaryBackward'> = {
  infer(inputs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32');
    expectInput(inputs, 1, 'input', 'f32', g.shape);
    return [f32(g.shape)];
  },
  flops: (node) => 2 * elementCount(node.outputs[0]!.shape),
};

/** Whether two shapes are the same. */
export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis]);

/** The shape that two shapes broadcast to, as NumPy has it; undefined where they do not. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const shape: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left !== right && left !== 1 && right !== 1) return undefined;
    shape.push(left === 1 ? right : left);
  }
  return shape;
}

const show = (tensor: Tensor): string => `[${tensor.shape.join(', ')}]`;

export const binary: OpDefinition<'binary'> = {
  infer(inputs) {
    const a = expectInput(inputs, 0, 'a', 'f32');
    const b = expectInput(inputs, 1, 'b', 'f32');
    const shape = broadcastShape(a.shape, b.shape);
    check(
      shape !== undefined && (sameShape(a.shape, shape) || sameShape(b.shape, shape)),
      'bad-shape',
      `of ${show(a)} and ${show(b)} neither broadcasts to the other`,
      'b',
    );
    return [f32(shape)];
  },
  flops: (node) => elementCount(node.outputs[0]!.shape),
  backward(ctx, node, g) {
    const { graph } = ctx;
    const [a, b] = node.inputs as [Tensor, Tensor];
    const y = node.outputs[0]!;
    const { kind } = node.attrs;
    check(kind !== 'above', 'bad-argument', 'the comparison above has no gradient', 'kind');
    const part = (index: number, whole: () => Tensor): Tensor | undefined => {
      const input = node.inputs[index]!;
      if (!ctx.needs(index)) return undefined;
      const direction = input.kind === 'parameter' ? 'weightGradient' : 'inputGradient';
      return graph.scope({ direction }, () => sumTo(graph, whole(), input.shape));
    };
    const times = (other: Tensor): Tensor => graph.one('binary', [g, other], { kind: 'mul' });
    const minus = (x: Tensor): Tensor => graph.one('unary', [x], { kind: 'affine', values: [-1] });
    const over = (): Tensor => graph.one('binary', [g, b], { kind: 'div' });
    const share = (left: Tensor, right: Tensor): Tensor => times(graph.one('binary', [left, right], { kind: 'above' }));
    const parts = {
      add: [() => g, () => g],
      sub: [() => g, () => minus(g)],
      mul: [() => times(b), () => times(a)],
      div: [over, () => minus(graph.one('binary', [over(), y], { kind: 'mul' }))],
      max: [() => share(a, b), () => share(b, a)],
      min: [() => share(b, a), () => share(a, b)],
    }[kind] as [() => Tensor, () => Tensor];
    return [part(0, parts[0]), part(1, parts[1])];
  },
};

/** The gradient of what was broadcast: the sum over the axes that were repeated. */
export function sumTo(graph: GraphBuilder, g: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const missing = g.shape.length - shape.length;
  const axes = g.shape.flatMap((size, axis) => (size !== (shape[axis - missing] ?? 1) ? [axis] : []));
  const sum = axes.length === 0 ? g : graph.one('reduce', [g], { kind: 'sum', axes });
  return sameShape(sum.shape, shape) ? sum : graph.one('reshape', [sum], { shape });
}
