import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { expectInput, f32 } from './definition.js';
import type { BackwardContext, OpDefinition } from './definition.js';

type Softmax = 'softmax' | 'logSoftmax';

function alongAxis<K extends Softmax>(op: K): OpDefinition<K> {
  const definition: OpDefinition<Softmax> = {
    infer(inputs, { axis = 1 }) {
      const { shape } = expectInput(inputs, 0, 'input', 'f32');
      const fits = Number.isInteger(axis) && axis >= 0 && axis < shape.length;
      check(fits, 'bad-range', `[${shape.join(', ')}] has no axis ${axis}`, 'axis');
      return [f32(shape)];
    },
    flops: (node) => 4 * elementCount(node.outputs[0]!.shape),
    backward: ({ graph, needs }: BackwardContext, node: Node<Softmax>, gradient: Tensor) => [
      needs(0)
        ? graph.scope({ direction: 'inputGradient' }, () =>
            graph.one(`${op}Backward`, [gradient, node.outputs[0]!], node.attrs),
          )
        : undefined,
    ],
  };
  return definition as OpDefinition<K>;
}

export const softmax = alongAxis('softmax');
export const logSoftmax = alongAxis('logSoftmax');

const backward: OpDefinition<'softmaxBackward'> & OpDefinition<'logSoftmaxBackward'> = {
  infer(inputs) {
    const g = expectInput(inputs, 0, 'gradient', 'f32');
    expectInput(inputs, 1, 'result', 'f32', g.shape);
    return [f32(g.shape)];
  },
  flops: (node: Node) => 4 * elementCount(node.outputs[0]!.shape),
};

export const softmaxBackward: OpDefinition<'softmaxBackward'> = backward;
export const logSoftmaxBackward: OpDefinition<'logSoftmaxBackward'> = backward;
