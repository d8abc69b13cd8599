import type { LossKind, Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, stepParameter, words, writes } from './grid.js';
import { shaderFragment } from './fragment.js';
import { link } from '../wgsl/link.js';
import type { Dispatch, Lowering, Operand, UniformParameter } from './types.js';

/**
 * From this number of classes on, a workgroup shares a sample. It must not depend on the batch: it decides the
 * accumulation order.
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
  const [logits, labels, targets] = node.inputs as [Tensor, Tensor, Tensor | undefined];
  const [batch, classes] = logits.shape as [number, number];
  const shared = classes >= manyClasses;
  const regions: Record<string, string> = {};
  if (shared) regions['lanes'] = shaderFragment('loss/group');
  if (kind !== undefined) regions['kind'] = shaderFragment(`loss/${kind}`);
  const constants = {
    ...(raised && { RAISED: true }),
    ...(kind !== undefined && { OVER_LEAD: kind === 'logitMargin' }),
  };
  if (targets !== undefined) regions['targets'] = shaderFragment('loss/targets');
  const operands: Operand[] = [
    ...[reads('logits', logits), reads('labels', labels), writes('result', node.outputs[0]!)],
    ...(targets === undefined ? [] : [reads('targets', targets)]),
  ];
  const scaleParameter: UniformParameter = { name: 'scale', type: 'f32', value: scale };
  return [
    {
      kernel,
      variant: `${kind ?? ''}${shared ? ' group' : ''}${raised ? ' raised' : ''}`.trim(),
      code: link(kernel, { regions, constants }),
      operands,
      parameters: [
        ...words({ batch, classes }),
        scaleParameter,
        ...bases(operands),
        ...(targets === undefined ? words({ targetsBase: 0 }) : []),
      ],
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

/** The class of a rank, by counting the classes before each: one invocation per sample and class. */
export const lowerClassAtRank: Lowering<'classAtRank'> = (node, _group, context) => {
  const [logits, labels] = node.inputs as [Tensor, Tensor];
  const [batch, classes] = logits.shape as [number, number];
  const rank = stepParameter(node.attrs.rank, context, 'rank');
  const operands: Operand[] = [reads('logits', logits), reads('labels', labels), writes('result', node.outputs[0]!)];
  return [
    {
      kernel: 'loss/classAtRank',
      variant: '',
      code: link('loss/classAtRank', { constants: { RANK_PER_STEP: rank.perStep } }),
      operands,
      parameters: [...words({ batch, classes, rank: rank.value }), ...bases(operands)],
      workgroups: foldGrid(Math.ceil((batch * classes) / width)),
      flops: opTable.classAtRank.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
