import { columnsPerPhase, convBytes, convParameters, isPadded } from './convProblem.js';
import type { ConvProblem } from './convProblem.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { registerTiles, unfitTile } from './registerTiles.js';
import { gathers, gatherTile, tallTiles } from './software/gather.js';
import type { ProductStrategy } from './strategy.js';
import { chooseTile, laneRegions, mostShiftedRows, tileConstants, tileName, unrolled } from './tiles.js';
import type { Tile } from './tiles.js';
import type { Dispatch, Group, LoweringContext } from './types.js';

/** Lowers a product to gemm/conv. */
function lowerConv(problem: ConvProblem, tile: Tile, group: Group, context: LoweringContext): Dispatch[] {
  const tail = epilogue(group, 4, problem.bias);
  const tall = tile.rows > mostShiftedRows;
  return [
    {
      kernel: 'gemm/conv',
      variant: [tileName(tile), tail.variant].filter((part) => part !== '').join(' '),
      code: link('gemm/conv', {
        unroll: tall ? 'all' : unrolled(tile, context.device),
        constants: {
          ...tileConstants(tile, context.device),
          PADDED: isPadded(problem),
          ACCUMULATE: problem.accumulate ?? false,
          TALL: tall,
        },
        regions: { ...tail.regions, ...laneRegions(tile, context.device) },
      }),
      operands: [
        { name: 'a', tensor: problem.a, access: 'read' },
        { name: 'b', tensor: problem.b, access: 'read' },
        { name: 'c', tensor: tail.output, access: problem.accumulate === true ? 'readWrite' : 'write' },
        ...tail.operands,
      ],
      parameters: [...convParameters(problem, tail.output, tile), ...tail.parameters],
      workgroups: [
        Math.ceil(columnsPerPhase(problem) / (tile.lanes * tile.columns)),
        Math.ceil(problem.rows / tile.rows),
        problem.groups * problem.phases[0] * problem.phases[1],
      ],
      flops: problem.flops + tail.flops,
      bytes: convBytes(problem, tail.output) + tail.bytes,
    },
  ];
}

/** The register tile of an invocation, whose loads its lanes share: computes every product. */
export const convGeneral: ProductStrategy<ConvProblem> = {
  name: 'gemm/conv',
  order: 'taps',
  operands: 'registers',
  unrolls: true,
  suits: () => true,
  usual(problem, { writesMask }, device) {
    const size = { rows: problem.rows, columns: columnsPerPhase(problem), maxRows: mostShiftedRows };
    const tile = gathers(problem, device) ? gatherTile(size, writesMask, device) : chooseTile(size, device);
    return [{ kernel: 'gemm/conv', ...tile }];
  },
  unfit: (choice, problem, device) => unfitTile(choice, problem, device, { tall: true }),
  candidates: (start, problem, device) => [
    ...registerTiles(start, [2, 4, 8], device),
    ...(problem.taps === 1 ? tallTiles(start, device) : []),
  ],
  lower: lowerConv,
};
