import type { LossKind, Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import { shaderFragment } from './fragment.js';
import { link } from '../wgsl/link.js';
import type { Dispatch, Lowering, Operand, Parameter } from './types.js';

/**
 * From this number of classes on, a workgroup shares a sample. It must not depend on the batch: it decides the order
 * of sums.
 */
const manyClasses = 65;
/** Invocations of a workgroup: WX of shaders/loss/logits.wgsl. */
const width = 64;

interface LossProblem {
  readonly kernel: string;
  readonly kind?: LossKind;
  readonly scale: number;
  readonly raised?: boolean;
  readonly flops: number;
}

function lowerLossKernel(
  node: Node<'loss' | 'lossBackward' | 'correct'>,
  { kernel, kind, scale, raised = false, flops }: LossProblem,
): Dispatch[] {
  const [logits, labels] = node.inputs as [Tensor, Tensor];
  const [batch, classes] = logits.shape as [number, number];
  const shared = classes >= manyClasses;
  const regions: Record<string, string> = {};
  if (shared) regions['lanes'] = shaderFragment('loss/group');
  if (kind !== undefined) regions['kind'] = shaderFragment(`loss/${kind}`);
  const operands: Operand[] = [reads('logits', logits), reads('labels', labels), writes('result', node.outputs[0]!)];
  const scaleParameter: Parameter = { name: 'scale', type: 'f32', value: scale };
  return [
    {
      kernel,
      variant: `${kind ?? ''}${shared ? ' group' : ''}${raised ? ' raised' : ''}`.trim(),
      code: link(kernel, { regions, ...(raised && { constants: { RAISED: true } }) }),
      operands,
      parameters: [...words({ batch, classes }), scaleParameter, ...bases(operands)],
      workgroups: foldGrid(shared ? batch : Math.ceil(batch / width)),
      flops,
      bytes: operandBytes(operands),
    },
  ];
}

export const lowerLoss: Lowering<'loss'> = (node) =>
  lowerLossKernel(node, { kernel: 'loss/loss', kind: node.attrs.kind, scale: 1, flops: opTable.loss.flops(node) });

export const lowerLossBackward: Lowering<'lossBackward'> = (node) =>
  lowerLossKernel(node, {
    kernel: 'loss/lossBackward',
    kind: node.attrs.kind,
    scale: node.attrs.scale,
    raised: node.attrs.raised ?? false,
    flops: opTable.lossBackward.flops(node),
  });

export const lowerCorrect: Lowering<'correct'> = (node) =>
  lowerLossKernel(node, { kernel: 'loss/correct', scale: 1, flops: opTable.correct.flops(node) });
