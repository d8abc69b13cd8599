import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, foldGrid, operandBytes, reads, stepParameter, words, writes } from './grid.js';
import { link } from '../wgsl/link.js';
import type { Lowering, Operand } from './types.js';

/** Invocations of a workgroup: WX of random/dropout.wgsl. */
const width = 64;

/** Philox blocks of 4 elements; the same numbers as src/random/philox.ts. */
export const lowerDropout: Lowering<'dropout'> = (node, _group, context) => {
  const { p, stream, firstElement } = node.attrs;
  const [x, ids] = node.inputs as [Tensor, Tensor];
  const batch = x.shape[0]!;
  const sampleSize = elementCount(x.shape) / batch;
  const blocks = Math.ceil(sampleSize / 4);
  const seed = stepParameter(node.attrs.seed, context, 'seed');
  const step = stepParameter(node.attrs.step, context, 'step');
  const operands: Operand[] = [reads('x', x), reads('ids', ids), writes('result', node.outputs[0]!)];
  return [
    {
      kernel: 'random/dropout',
      variant: '',
      code: link('random/dropout', { constants: { SEED_PER_STEP: seed.perStep, STEP_PER_STEP: step.perStep } }),
      operands,
      parameters: [
        ...words({
          batch,
          sampleSize,
          blocks,
          firstBlock: firstElement / 4,
          stream,
          seed: seed.value,
          step: step.value,
        }),
        ...words({ drop: p, factor: 1 / (1 - p) }, 'f32'),
        ...bases(operands),
      ],
      workgroups: foldGrid(Math.ceil((batch * blocks) / width)),
      flops: opTable.dropout.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
