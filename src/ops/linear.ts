import { check } from '../errors.js';
import type { Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { OpDefinition } from './definition.js';

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
    const a = expectInput(inputs, 0, 'a', 'f32', 2);
    const b = expectInput(inputs, 1, 'b', 'f32', 2);
    const [m, ka] = attrs.transposeA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
    const [kb, n] = attrs.transposeB ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
    check(ka === kb, 'bad-shape', `inner sizes differ: ${ka} and ${kb}`, 'b');
    return [f32([m, n])];
  },
  flops: (node) =>
    product(node.outputs[0]!, node.attrs.transposeA ? node.inputs[0]!.shape[0]! : node.inputs[0]!.shape[1]!),
  backward(ctx, node, gradient) {
    const [a, b] = node.inputs as [Tensor, Tensor];
    const { transposeA, transposeB } = node.attrs;
    const { graph } = ctx;
    return graph.scope({ direction: 'inputGradient' }, () => [
      ctx.needs(0)
        ? transposeA
          ? graph.one('matmul', [b, gradient], { transposeA: transposeB, transposeB: true })
          : graph.one('matmul', [gradient, b], { transposeA: false, transposeB: !transposeB })
        : undefined,
      ctx.needs(1)
        ? transposeB
          ? graph.one('matmul', [gradient, a], { transposeA: true, transposeB: transposeA })
          : graph.one('matmul', [a, gradient], { transposeA: !transposeA, transposeB: false })
        : undefined,
    ]);
  },
};
