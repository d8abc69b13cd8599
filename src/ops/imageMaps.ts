import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { expectInput, f32, u32 } from './definition.js';
import { numbersOfField } from '../graph/fields.js';
import type { OpDefinition } from './definition.js';

export const axisMap: OpDefinition<'axisMap'> = {
  infer(inputs, { axis, transposed }) {
    const x = expectInput(inputs, 0, 'input', 'f32', 4);
    const matrix = expectInput(inputs, 1, 'matrix', 'f32', 3);
    const [samples, a, b] = matrix.shape as [number, number, number];
    const [to, from] = transposed ? [b, a] : [a, b];
    const at = axis === 'rows' ? 2 : 3;
    const fits = (samples === 1 || samples === x.shape[0]) && from === x.shape[at];
    const shapes =
      `a matrix [${matrix.shape.join(', ')}]${transposed ? ', transposed,' : ''} does not fit the ${axis} ` +
      `of [${x.shape.join(', ')}]`;
    check(fits, 'bad-shape', shapes, 'matrix');
    return [f32(x.shape.map((size, index) => (index === at ? to : size)))];
  },
  flops: (node) =>
    2 * elementCount(node.outputs[0]!.shape) * node.inputs[0]!.shape[node.attrs.axis === 'rows' ? 2 : 3]!,
  backward: ({ graph, needs }, node, gradient) =>
    needs(0)
      ? [graph.one('axisMap', [gradient, node.inputs[1]!], { ...node.attrs, transposed: !node.attrs.transposed })]
      : [],
};

export const gridSample: OpDefinition<'gridSample'> = {
  infer(inputs, { transposed, size }) {
    const x = expectInput(inputs, 0, 'input', 'f32', 4);
    const grid = expectInput(inputs, 1, 'grid', 'f32', 4);
    const [samples, planes, height, width] = grid.shape as [number, number, number, number];
    const [batch, channels, ...own] = x.shape as [number, number, number, number];
    const read = transposed ? [height, width] : size;
    const fits = samples === batch && (planes === 2 || planes === 6) && own.join() === read.join();
    check(fits, 'bad-shape', `a grid [${grid.shape.join(', ')}] does not fit [${x.shape.join(', ')}]`, 'grid');
    return [f32([batch, channels, ...(transposed ? size : [height, width])])];
  },
  flops: (node) => 8 * elementCount(node.inputs[1]!.shape) * node.inputs[0]!.shape[1]!,
  backward: ({ graph, needs }, node, gradient) =>
    needs(0)
      ? [graph.one('gridSample', [gradient, node.inputs[1]!], { ...node.attrs, transposed: !node.attrs.transposed })]
      : [],
};

export const sampleField: OpDefinition<'sampleField'> = {
  infer(inputs, { kind, planes, size, values }) {
    const numbers = expectInput(inputs, 0, 'numbers', 'f32', ['N', numbersOfField(kind, values)]);
    const batch = numbers.shape[0]!;
    return [kind === 'index' ? u32([batch]) : f32([batch, planes, ...size])];
  },
  flops: (node) => 20 * elementCount(node.outputs[0]!.shape),
};
