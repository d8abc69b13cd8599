import { columnsPerPhase, convBytes, convParameters, isPadded } from './convProblem.js';
import type { ConvProblem } from './convProblem.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { registerTiles, unfitTile } from './registerTiles.js';
import { tallTiles } from './software/gather.js';
import type { ProductStrategy } from './strategy.js';
import { laneRegions, mostShiftedRows, tileConstants, tileName, unrolled } from './tiles.js';
import type { Tile } from './tiles.js';
import type { Dispatch, Group, LoweringContext } from './types.js';

function lowerConv(problem: ConvProblem, tile: Tile, group: Group, context: LoweringContext): Dispatch[] {
  const tail = epilogue(group, context, 4, problem.bias);
  const tall = tile.rows > mostShiftedRows;
  return [
    {
      kernel: 'gemm/convSample',
      variant: [tileName(tile), tail.variant].filter((part) => part !== '').join(' '),
      code: link('gemm/convSample', {
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

/** A kernel that shows how one is added. */
export const convSample: ProductStrategy<ConvProblem> = {
  name: 'gemm/convSample',
  order: 'taps',
  operands: 'registers',
  unrolls: true,
  suits: () => true,
  usual: () => [],
  unfit: (choice, problem, device) => unfitTile(choice, problem, device, { tall: true }),
  candidates: (start, problem, device) => [
    ...registerTiles(start, [2, 4, 8], device),
    ...(problem.taps === 1 ? tallTiles(start, device) : []),
  ],
  lower: lowerConv,
};
