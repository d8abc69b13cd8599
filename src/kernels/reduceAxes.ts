import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { axisWords, checkAxes, rowMajorStrides } from './layout.js';
import { link } from '../wgsl/link.js';
import { bindingBase } from './types.js';
import type { Dispatch, KernelDevice, Lowering, Operand, UniformParameter } from './types.js';

/** Lanes of a workgroup of the kernels without workgroup memory. */
const width = 64;

/** A run of neighboring axes that are all reduced, or all kept. */
interface Run {
  readonly size: number;
  readonly stride: number;
  readonly reduced: boolean;
}

/** The axes of a shape from the last to the first, without those of size 1, neighbors of one kind joined. */
function runsOf(shape: readonly number[], axes: readonly number[]): Run[] {
  const strides = rowMajorStrides(shape);
  const runs: Run[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const [size, reduced] = [shape[axis]!, axes.includes(axis)];
    if (size === 1) continue;
    const last = runs.at(-1);
    if (last?.reduced === reduced) runs[runs.length - 1] = { ...last, size: last.size * size };
    else runs.push({ size, stride: strides[axis]!, reduced });
  }
  return runs;
}

/**
 * Elements from which on a workgroup shares a result. It depends on the layer only, as the order of the sum does. On
 * the CPU barriers cost more than they give, unless the sum is very long.
 */
const sharedFrom = ({ software }: KernelDevice): number => (software ? 16384 : 256);

function parameters(node: Node<'reduce'>, operands: readonly Operand[]): UniformParameter[] {
  const runs = runsOf(node.inputs[0]!.shape, node.attrs.axes);
  const [kept, reduced] = [runs.filter((run) => !run.reduced), runs.filter((run) => run.reduced)];
  checkAxes(Math.max(kept.length, reduced.length), node, 3);
  const results = elementCount(node.outputs[0]!.shape);
  const elements = elementCount(node.inputs[0]!.shape) / results;
  const sizes = (list: readonly Run[]): number[] => list.map(({ size }) => size);
  const strides = (list: readonly Run[]): number[] => list.map(({ stride }) => stride);
  return [
    ...words({ results, elements }),
    { name: 'scale', type: 'f32', value: node.attrs.kind === 'mean' ? 1 / elements : 1 },
    ...words({
      xBase: bindingBase(operands[0]!.tensor),
      yBase: bindingBase(operands[1]!.tensor),
      chosenBase: operands[2] === undefined ? 0 : bindingBase(operands[2].tensor),
    }),
    ...words(axisWords('kept', sizes(kept), 1, 3)),
    ...words(axisWords('keptStride', strides(kept), 0, 3)),
    ...words(axisWords('size', sizes(reduced), 1, 3)),
    ...words(axisWords('stride', strides(reduced), 0, 3)),
  ];
}

export const lowerReduce: Lowering<'reduce'> = (node, _group, { device }) => {
  const [x, y] = [node.inputs[0]!, node.outputs[0]!];
  const results = elementCount(y.shape);
  const isMax = node.attrs.kind === 'max';
  const shared = !isMax && elementCount(x.shape) / results >= sharedFrom(device);
  const kernel = isMax ? 'reduce/maxAxes' : shared ? 'reduce/sumAxesLanes' : 'reduce/sumAxes';
  const operands = [reads('x', x), writes('y', y), ...(isMax ? [writes('chosen', node.outputs[1]!)] : [])];
  return [
    {
      kernel,
      variant: node.attrs.kind,
      code: link(kernel, shared ? { constants: { LANES: 64 } } : {}),
      operands,
      parameters: parameters(node, operands),
      workgroups: foldGrid(shared ? results : Math.ceil(results / width)),
      flops: opTable.reduce.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};

export const lowerReduceMaxBackward: Lowering<'reduceMaxBackward'> = (node): Dispatch[] => {
  const { axes, inputShape } = node.attrs;
  const [g, chosen] = node.inputs as [Tensor, Tensor];
  const y = node.outputs[0]!;
  const runs = runsOf(inputShape, axes);
  checkAxes(runs.length, node);
  // Strides among the results and among the elements that one result was chosen of.
  let [results, among] = [1, 1];
  const strides = runs.map(({ size, reduced }): readonly [number, number] => {
    const pair = reduced ? ([0, among] as const) : ([results, 0] as const);
    if (reduced) among *= size;
    else results *= size;
    return pair;
  });
  const count = elementCount(y.shape);
  const operands = [reads('g', g), reads('chosen', chosen), writes('y', y)];
  return [
    {
      kernel: 'reduce/maxAxesBackward',
      variant: '',
      code: link('reduce/maxAxesBackward'),
      operands,
      parameters: [
        ...words({ count }),
        ...bases(operands),
        ...words(
          axisWords(
            'size',
            runs.map(({ size }) => size),
            1,
          ),
        ),
        ...words(
          axisWords(
            'kept',
            strides.map(([kept]) => kept),
            0,
          ),
        ),
        ...words(
          axisWords(
            'among',
            strides.map(([, place]) => place),
            0,
          ),
        ),
      ],
      workgroups: foldGrid(Math.ceil(count / width)),
      flops: opTable.reduceMaxBackward.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
