import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';
import { broadcastShape, sumTo } from './elementwise.js';

const product = (m: Tensor, extra: number): number => 2 * m.shape[0]! * m.shape[1]! * extra;

export const linear: OpDefinition<'linear'> = {
  infer(inputs) {
    const x = expectInput(inputs, 0, 'input', 'f32', 2);
    const w = expectInput(inputs, 1, 'weight', 'f32', ['O', x.shape[1]!]);
    if (inputs.length > 2) expectInput(inputs, 2, 'bias', 'f32', [w.shape[0]!]);
    return [f32([x.shape[0]!, w.shape[0]!])];
  },
  flops: (node) => product(node.inputs[0]!, node.inputs[1]!.shape[0]!),
  backward(ctx, node, gradient) {
    const [x, w, b] = node.inputs as [Tensor, Tensor, Tensor | undefined];
    const { graph } = ctx;
    const bias = b !== undefined && ctx.needs(2);
    // The weight gradient first: the layer's input is then free before the next gradient needs memory.
    const [dw, db] =
      ctx.needs(1) || bias
        ? graph.scope({ direction: 'weightGradient' }, () => graph.add('linearWeightGradient', [gradient, x], { bias }))
        : [];
    const dx = ctx.needs(0)
      ? graph.scope({ direction: 'inputGradient' }, () => graph.one('linearInputGradient', [gradient, w], {}))
      : undefined;
    return [dx, dw, db];
  },
};

export const linearInputGradient: OpDefinition<'linearInputGradient'> = {
  infer(inputs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32', 2);
    const w = expectInput(inputs, 1, 'weight', 'f32', [g.shape[1]!, 'I']);
    return [f32([g.shape[0]!, w.shape[1]!])];
  },
  flops: (node) => product(node.inputs[0]!, node.inputs[1]!.shape[1]!),
};

export const linearWeightGradient: OpDefinition<'linearWeightGradient'> = {
  infer(inputs, attrs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32', 2);
    const x = expectInput(inputs, 1, 'input', 'f32', [g.shape[0]!, 'I']);
    const shape = [g.shape[1]!, x.shape[1]!];
    return attrs.bias ? [f32(shape), f32([shape[0]!])] : [f32(shape)];
  },
  flops: (node) => product(node.inputs[0]!, node.inputs[1]!.shape[1]!),
};

export const matmul: OpDefinition<'matmul'> = {
  infer(inputs, attrs) {
    const a = expectInput(inputs, 0, 'a', 'f32');
    const b = expectInput(inputs, 1, 'b', 'f32');
    check(a.shape.length >= 2 && b.shape.length >= 2, 'bad-shape', 'matrices have at least 2 axes', 'a');
    const [m, ka] = matrixSize(a.shape, attrs.transposeA);
    const [kb, n] = matrixSize(b.shape, attrs.transposeB);
    check(ka === kb, 'bad-shape', `inner sizes differ: ${ka} and ${kb}`, 'b');
    const front = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
    const shapes = `axes in front of [${a.shape.join(', ')}] and [${b.shape.join(', ')}] do not broadcast`;
    check(front !== undefined, 'bad-shape', shapes, 'b');
    return [f32([...front, m, n])];
  },
  flops: ({ attrs, inputs, outputs }) =>
    2 * elementCount(outputs[0]!.shape) * matrixSize(inputs[0]!.shape, attrs.transposeA)[1],
  backward(ctx, node, gradient) {
    const [a, b] = node.inputs as [Tensor, Tensor];
    const { transposeA, transposeB } = node.attrs;
    const { graph } = ctx;
    const times = (left: Tensor, right: Tensor, turnLeft: boolean, turnRight: boolean): Tensor =>
      graph.one('matmul', [left, right], { transposeA: turnLeft, transposeB: turnRight });
    const part = (slot: number, of: () => Tensor): Tensor | undefined => {
      const input = node.inputs[slot]!;
      const direction = input.kind === 'parameter' ? 'weightGradient' : 'inputGradient';
      return ctx.needs(slot) ? graph.scope({ direction }, () => sumTo(graph, of(), input.shape)) : undefined;
    };
    return [
      part(0, () => (transposeA ? times(b, gradient, transposeB, true) : times(gradient, b, false, !transposeB))),
      part(1, () => (transposeB ? times(gradient, a, true, transposeA) : times(a, gradient, !transposeA, false))),
    ];
  },
};

/** Rows and columns of a matrix in the last two axes, or of its transpose. */
export function matrixSize(shape: readonly number[], transposed: boolean): readonly [number, number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}
