import { byteLength } from '../../graph/types.js';
import type { KernelChoice } from '../problem.js';
import { registerTiles, unfitTile } from '../registerTiles.js';
import type { ProductStrategy } from '../strategy.js';
import type { ConvProblem } from '../convProblem.js';
import { lowerConvRows } from '../convRows.js';
import { maxWorkgroups, words } from '../grid.js';
import { link } from '../../wgsl/link.js';
import { inFours, leftRegion } from '../staging.js';
import { shareOf } from '../tiles.js';
import { narrowFits } from './narrowTiles.js';
import type { Tile } from '../tiles.js';
import { bindingBase } from '../types.js';
import { processorOf } from './processor.js';
import type { Dispatch, Group, KernelDevice, LoweringContext } from '../types.js';

/** Columns of the product: images of a layer, or columns of a plain matrix. */
const columnsOf = ({ batch, columns }: ConvProblem): number => batch * columns[1];

/** Numbers from one line of the packed operand to the next. */
const lineOf = (problem: ConvProblem): number => 4 * Math.ceil(columnsOf(problem) / 4);

/** Lines of the packed operand: whole fours, as they are packed four by four. */
const linesOf = ({ inner }: ConvProblem): number => 4 * Math.ceil(inner / 4);

/**
 * Whether the right operand of a product can be packed, so that its columns lie next to each other: on the CPU, where
 * four neighbors load for half of what four numbers elsewhere cost, if they are neighbors along the contraction only.
 */
function suitsPacking(problem: ConvProblem, device: KernelDevice): boolean {
  const { taps, groups, phases, step, columns, source, bStrides, accumulate, rowStart, bStart } = problem;
  return (
    device.software &&
    device.plainCompiler !== true &&
    [...taps, groups, ...phases, ...step, columns[0], source[0]].every((count) => count === 1) &&
    columns[1] === source[1] &&
    bStrides.inner === 1 &&
    accumulate !== true &&
    (rowStart ?? 0) === 0 &&
    (bStart ?? 0) === 0 &&
    columnsOf(problem) >= 4 &&
    4 * lineOf(problem) * linesOf(problem) + 252 <= device.maxBindingBytes &&
    Math.max(lineOf(problem) / 4, Math.ceil(linesOf(problem) / 32)) <= maxWorkgroups
  );
}

/** Numbers from one column to the next. */
const columnPitch = ({ columns, bStrides }: ConvProblem): number => (columns[1] === 1 ? bStrides.batch : bStrides.w);

/** The packed product, where it is the usual way: it is a dispatch more, so the product must be large enough. */
function packedChoices(problem: ConvProblem, device: KernelDevice): KernelChoice[] {
  const { rows } = problem;
  const columns = columnsOf(problem);
  if (!suitsPacking(problem, device)) return [];
  const { fewestColumns, fewestRows, leastProducts, pitchMultiple } = processorOf(device).packing;
  if (columns < fewestColumns || rows < fewestRows || rows * columns * problem.inner < leastProducts) return [];
  if (columnPitch(problem) % pitchMultiple !== 0) return [];
  return [
    {
      kernel: 'software/convPacked',
      rows: 16,
      columns: narrowFits(columns, 8, device) ? 4 : 8,
      lanes: 8,
      share: shareOf(device),
    },
  ];
}

/**
 * Packs the right operand and lowers the product to gemm/convRows, whose sums have the order of gemm/conv where there
 * is one tap.
 */
function lowerConvPacked(problem: ConvProblem, tile: Tile, group: Group, context: LoweringContext): Dispatch[] {
  const { b, inner } = problem;
  const [columns, line, lines] = [columnsOf(problem), lineOf(problem), linesOf(problem)];
  const layer = problem.columns[1] === 1;
  const packed = context.scratch(`${group.anchor.outputs[0]!.name}.packed`, [lines, line]);
  const apart = columnPitch(problem);
  const fours = inFours(bindingBase(b), apart);
  return [
    {
      kernel: 'software/pack',
      variant: fours ? 'vec4' : '',
      code: link('software/pack', { regions: leftRegion(fours) }),
      operands: [
        { name: 'a', tensor: b, access: 'read' },
        { name: 'c', tensor: packed, access: 'write' },
      ],
      parameters: words({ columns, inner, aBase: bindingBase(b), aColumn: apart, cLine: line }),
      workgroups: [line / 4, Math.ceil(lines / 32), 1],
      flops: 0,
      bytes: byteLength(b) + byteLength(packed),
    },
    ...lowerConvRows(
      {
        ...problem,
        b: packed,
        batch: 1,
        columns: [1, columns],
        source: [1, columns],
        bStrides: { batch: 0, inner: line, h: 0, w: 1, group: 0 },
        columnsAreImages: layer,
      },
      tile,
      group,
      context,
    ),
  ];
}

/** Packs the right operand, whose neighbors lie along the contraction, and loads it as vec4. */
export const convPacked: ProductStrategy<ConvProblem> = {
  name: 'software/convPacked',
  order: 'taps',
  operands: 'registers',
  unrolls: true,
  suits: suitsPacking,
  usual: (problem, _tuning, device) => packedChoices(problem, device),
  unfit: (choice, problem, device) => unfitTile(choice, problem, device, { mostColumns: 8 }),
  candidates: (start, _problem, device) => registerTiles(start, [4, 8], device),
  lower: lowerConvPacked,
};
