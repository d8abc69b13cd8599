import type { KernelDevice } from './device.js';
import type { KernelChoice, TuningProblem } from './problem.js';
import { tallRows } from './software/gather.js';
import { unfitStage } from './staging.js';
import { mostShiftedRows } from './tiles.js';

/** What a kernel's register tiles may be; what is absent is as with most kernels. */
export interface TileLimits {
  /** Most rows, a power of two; 16 unless told. */
  readonly mostRows?: number;
  /** Whether more rows are possible where sums lie in memory, on the CPU. */
  readonly tall?: boolean;
  /** Most columns; 16 unless told. */
  readonly mostColumns?: number;
  /** Columns come in fours. */
  readonly columnsInFours?: boolean;
  /** Whether words of a packed mask are written by an invocation; true unless told. */
  readonly masks?: boolean;
  /** Operands go through workgroup memory. */
  readonly staged?: boolean;
}

const isPower = (value: unknown, least: number, most: number): value is number =>
  typeof value === 'number' && value >= least && value <= most && Number.isInteger(Math.log2(value));

function unfitRows(
  { rows, share, unroll }: KernelChoice,
  problem: TuningProblem,
  device: KernelDevice,
  { mostRows = mostShiftedRows, tall: mayBeTall = false, masks = true }: TileLimits,
): string | undefined {
  const tall = mayBeTall && rows > mostShiftedRows;
  const fitting = tall ? tallRows(rows, device) : isPower(rows, 4, mostRows);
  if (!fitting || rows % share !== 0) return `${rows} rows do not fit ${share} lanes that share loads`;
  if (tall && unroll !== undefined) return `${rows} rows are always unrolled`;
  if (!problem.writesMask || !masks) return undefined;
  if (tall && rows % mostShiftedRows !== 0) return `${rows} rows do not fill words of a mask`;
  return rows < Math.min(mostShiftedRows, problem.rows) ? 'masks need 16 rows' : undefined;
}

/**
 * Why a register tile cannot run a problem on a device, or undefined where it can. Choices come from files, so nothing
 * about them is taken for granted.
 */
export function unfitTile(
  choice: KernelChoice,
  problem: TuningProblem,
  device: KernelDevice,
  limits: TileLimits = {},
): string | undefined {
  const { kernel, rows, columns, lanes, share, splits = 1, stage } = choice;
  const { mostColumns = 16, columnsInFours = false, staged = false } = limits;
  if (!isPower(share, 1, Math.max(1, device.subgroupSize))) return `loads cannot be shared by ${share} lanes`;
  const wrong = unfitRows(choice, problem, device, limits);
  if (wrong !== undefined) return wrong;
  if (!Number.isInteger(columns) || columns < 1 || columns > mostColumns || (columnsInFours && columns % 4 !== 0))
    return `${columns} columns`;
  if (device.plainCompiler === true && rows * columns > 64)
    return `${rows} x ${columns} results are too many to write out`;
  if (!isPower(lanes, Math.max(4, share), Math.min(256, device.maxInvocations))) return `${lanes} lanes`;
  if (staged !== (stage !== undefined)) return `${kernel} ${staged ? 'needs' : 'has no'} stages`;
  if (!Number.isInteger(splits) || splits < 1 || splits > problem.lines) return `${splits} splits`;
  return stage === undefined ? undefined : unfitStage(choice, stage, device);
}

/** Tiles of 8 and 16 rows by some numbers of columns. Where loops are unrolled, wider ones take long to compile. */
export function registerTiles(start: KernelChoice, widths: readonly number[], device: KernelDevice): KernelChoice[] {
  const columns = device.plainCompiler === true ? [2, 4] : widths;
  return [8, 16].flatMap((rows) => columns.map((count) => ({ ...start, rows, columns: count })));
}

/**
 * Tiles of workgroups whose operands go through workgroup memory: results of an invocation, lanes, ranks and products
 * a stage.
 */
const staged = [
  [4, 4, 8, 8, 32],
  [4, 4, 16, 16, 16],
  [8, 4, 16, 8, 16],
  [8, 4, 16, 16, 16],
  [16, 4, 16, 2, 16],
  [16, 4, 16, 4, 16],
  [16, 4, 16, 8, 8],
  [16, 4, 16, 8, 16],
  [16, 4, 32, 8, 8],
  [16, 4, 32, 8, 16],
] as const;

/**
 * Candidates through workgroup memory. Not for software adapters: workgroup memory is ordinary memory
 * there, and barriers cost more than they bring.
 */
export const stagedTiles = (start: KernelChoice, device: KernelDevice): KernelChoice[] =>
  device.software
    ? []
    : staged.map(([rows, columns, lanes, ranks, depth]) => ({
        ...start,
        rows,
        columns,
        lanes,
        share: 1,
        stage: { ranks, depth, vectors: true },
      }));
