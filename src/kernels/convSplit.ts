import { byteLength, elementCount } from '../graph/types.js';
import type { ConvProblem } from './convProblem.js';
import { stagedChoice, stagedProduct } from './convTiled.js';
import { words } from './grid.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { stagedTiles, unfitTile } from './registerTiles.js';
import { splitTile } from './staging.js';
import type { StagedTile } from './staging.js';
import type { ProductStrategy } from './strategy.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, LoweringContext } from './types.js';

/** Least products of a part, and most parts. */
const leastProducts = 512;
const mostParts = 16;

/**
 * Products a tap of each part of a split contraction: a multiple of 16. It follows from the layer alone, so that its
 * accumulation order does not depend on the batch. Undefined where the contraction is too short to be worth splitting.
 */
function innerPart({ inner, taps, accumulate }: ConvProblem): number | undefined {
  const parts = Math.min(mostParts, Math.floor((inner * taps[0] * taps[1]) / leastProducts));
  const length = 16 * Math.ceil(inner / Math.max(1, parts) / 16);
  return accumulate === true || length >= inner ? undefined : length;
}

/**
 * Lowers a product in parts of its contraction, which gemm/sumParts adds in order: for few outputs with a long
 * contraction.
 */
function lowerConvSplit(problem: ConvProblem, tile: StagedTile, group: Group, context: LoweringContext): Dispatch[] {
  const length = innerPart(problem)!;
  const parts = Math.ceil(problem.inner / length);
  const tail = epilogue(group, 3, problem.bias);
  const { shape, name } = tail.output;
  const elements = elementCount(shape);
  const partial = context.scratch(`${name}.partial`, [parts, ...shape]);
  const { cStrides } = problem;
  const plain = {
    regions: {},
    operands: [],
    parameters: [],
    output: partial,
    variant: `part ${length}`,
    flops: 0,
    bytes: 0,
    perChannel: true,
    fits: false,
  };
  const pixels = problem.columns[0] * problem.columns[1];
  const channels = elements / (problem.batch * pixels);
  return [
    stagedProduct(
      { ...problem, cStrides: { ...cStrides, batch: elements / problem.batch } },
      tile,
      plain,
      context,
      length,
    ),
    {
      kernel: 'gemm/sumParts',
      variant: tail.variant,
      code: link('gemm/sumParts', { regions: tail.regions }),
      operands: [
        { name: 'partial', tensor: partial, access: 'read' },
        { name: 'c', tensor: tail.output, access: 'write' },
        ...tail.operands,
      ],
      parameters: [
        ...words({
          channels,
          pixels,
          batch: problem.batch,
          parts,
          elements,
          cBase: bindingBase(tail.output),
          cBatch: cStrides.batch,
          cRow: cStrides.row,
          cW: cStrides.w,
          partBatch: elements / problem.batch,
        }),
        ...tail.parameters,
      ],
      workgroups: [Math.ceil((problem.batch * pixels) / 64), Math.ceil(channels / 16), 1],
      flops: parts * elements + tail.flops,
      bytes: 4 * parts * elements + byteLength(tail.output) + tail.bytes,
    },
  ];
}

/** gemm/convTiled in parts of the contraction. Usual only where a table prescribes its accumulation order. */
export const convSplit: ProductStrategy<ConvProblem> = {
  name: 'gemm/convSplit',
  order: 'parts',
  operands: 'workgroup memory',
  unrolls: true,
  suits: (problem) => innerPart(problem) !== undefined,
  usual(_problem, tuning, device) {
    const choice = { kernel: 'gemm/convSplit', ...splitTile } as const;
    return this.unfit(choice, tuning, device) === undefined ? [choice] : [];
  },
  unfit: (choice, problem, device) => unfitTile(choice, problem, device, { staged: true }),
  candidates: (start, _problem, device) => stagedTiles(start, device),
  lower: (problem, choice, group, context) => lowerConvSplit(problem, stagedChoice(choice), group, context),
};
