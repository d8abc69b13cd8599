import { columnsPerPhase, convBytes, convParameters, isPadded } from './convProblem.js';
import type { ConvProblem } from './convProblem.js';
import { shaderFragment } from './fragment.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import type { StagedTile } from './staging.js';
import { bandRows } from './staging.js';
import type { MatrixShape, SubgroupMatrices } from './device.js';
import type { KernelChoice, MatrixKernel } from './problem.js';
import { stagedChoice } from './convTiled.js';
import type { ProductStrategy } from './strategy.js';
import type { Dispatch, Group, KernelDevice, LoweringContext } from './types.js';

export type { MatrixKernel, MatrixShape, SubgroupMatrices };

const componentOf = (kernel: MatrixKernel): MatrixShape['component'] => (kernel === 'gemm/convMatrix' ? 'f32' : 'f16');

/** The shape that a kernel uses on a device: one only, because its accumulation order follows from it. */
export const shapeOf = (kernel: MatrixKernel, device: KernelDevice): MatrixShape | undefined =>
  device.matrices?.shapes.find(({ component, m }) => component === componentOf(kernel) && bandRows % m === 0);

/** The kernels on subgroup matrices that a device has. */
export const matrixKernels = (device: KernelDevice): MatrixKernel[] =>
  (['gemm/convMatrix', 'gemm/convHalfMatrix'] as const).filter((kernel) => shapeOf(kernel, device) !== undefined);

/**
 * A tile on subgroup matrices: `rows` x `columns` results of a subgroup, `lanes` invocations of the workgroup along
 * the columns, and `stage.ranks` subgroups along the rows.
 */
export const matrixTile = (
  subgroupSize: number,
  [rows, columns]: readonly [number, number],
  [across, ranks]: readonly [number, number],
  depth: number,
): StagedTile => ({
  rows,
  columns,
  lanes: subgroupSize * across,
  share: 1,
  stage: { ranks, depth, vectors: false },
});

/**
 * The tile where nobody has measured: 64 x 64 results of four subgroups, for f32 64 x 32; both within 16 KiB of
 * workgroup memory.
 */
export const usualMatrixTile = (kernel: MatrixKernel, { subgroupSize }: SubgroupMatrices): StagedTile =>
  matrixTile(subgroupSize, [32, componentOf(kernel) === 'f16' ? 32 : 16], [2, 2], 16);

/** The constants of shaders/gemm/matrixTile.wgsl. */
function matrixConstants(
  { rows, columns, lanes, stage }: StagedTile,
  { m, n, k }: MatrixShape,
  subgroupSize: number,
): Record<string, number> {
  const [across, ranks] = [lanes / subgroupSize, stage.ranks];
  return {
    M: m,
    N: n,
    K: k,
    SUBGROUP: subgroupSize,
    SX: across,
    SY: ranks,
    MI: rows / m,
    NJ: columns / n,
    BK: stage.depth,
  };
}

/** Why a tile cannot run on subgroup matrices of a device, or undefined where it can. */
function unfitMatrices(kernel: MatrixKernel, tile: StagedTile, device: KernelDevice): string | undefined {
  const { matrices } = device;
  const shape = shapeOf(kernel, device);
  if (matrices === undefined || shape === undefined) return 'the device has no such matrices';
  const { rows, columns, lanes, stage } = tile;
  const counts = matrixConstants(tile, shape, matrices.subgroupSize);
  const whole = [rows / bandRows, columns / shape.n, stage.depth / shape.k, counts['SX']!, counts['SY']!];
  if (!whole.every((count) => Number.isInteger(count) && count >= 1 && count <= 16))
    return `${rows} x ${columns} x ${stage.depth} is not made of matrices`;
  const invocations = lanes * stage.ranks;
  const [high, wide] = [rows * stage.ranks, columns * counts['SX']!];
  if (invocations > Math.min(256, device.maxInvocations) || invocations % matrices.granularity !== 0)
    return `${invocations} invocations`;
  if (invocations % wide !== 0) return `${invocations} invocations do not load ${wide} columns`;
  const element = shape.component === 'f16' ? 2 : 4;
  const staged = element * (high * (stage.depth + 8) + stage.depth * (wide + 8));
  const bytes = staged + 4 * (invocations / matrices.subgroupSize) * bandRows * (columns + 4);
  return bytes > device.maxWorkgroupStorage ? `${bytes} bytes of workgroup memory` : undefined;
}

function matrixRegions(
  shape: MatrixShape,
  { emulated, pinned, subgroupSize }: SubgroupMatrices,
): Record<string, string> {
  const regions: Record<string, string> = {};
  if (shape.component === 'f32') regions['element'] = 'alias Element = f32;\n';
  if (emulated === true) {
    regions['matrices'] = shaderFragment('gemm/matrixEmulation');
    regions['subgroup'] = '';
    regions['no subgroup'] = '  let subgroup = thread / SUBGROUP;\n';
  } else if (pinned) {
    regions['size'] = `enable subgroup_size_control;\n@subgroup_size(${subgroupSize})\n`;
  }
  return regions;
}

/** Lowers a product to gemm/convMatrix. */
function lowerConvMatrix(
  kernel: MatrixKernel,
  problem: ConvProblem,
  tile: StagedTile,
  group: Group,
  context: LoweringContext,
): Dispatch[] {
  const tail = epilogue(group, 4, problem.bias);
  const { device } = context;
  const shape = shapeOf(kernel, device)!;
  const { subgroupSize } = device.matrices!;
  const { rows, columns, lanes, stage } = tile;
  const name =
    `${shape.component} ${shape.m}x${shape.n}x${shape.k} ` +
    `${rows}x${columns}x${lanes / subgroupSize}x${stage.ranks} stage ${stage.depth}`;
  return [
    {
      kernel: 'gemm/convMatrix',
      variant: [name, tail.variant].filter((part) => part !== '').join(' '),
      code: link('gemm/convMatrix', {
        constants: {
          ...matrixConstants(tile, shape, subgroupSize),
          PADDED: isPadded(problem),
          ALONG: problem.aStrides.inner < problem.aStrides.row,
          RM: bandRows,
          UNROLLED: !device.software,
        },
        regions: { ...matrixRegions(shape, device.matrices!), ...tail.regions },
      }),
      operands: [
        { name: 'a', tensor: problem.a, access: 'read' },
        { name: 'b', tensor: problem.b, access: 'read' },
        { name: 'c', tensor: tail.output, access: 'write' },
        ...tail.operands,
      ],
      parameters: [...convParameters(problem, tail.output, { ...tile, rows: bandRows }), ...tail.parameters],
      workgroups: [
        Math.ceil(columnsPerPhase(problem) / (columns * (lanes / subgroupSize))),
        Math.ceil(problem.rows / (rows * stage.ranks)),
        problem.groups * problem.phases[0] * problem.phases[1],
      ],
      flops: problem.flops + tail.flops,
      bytes: convBytes(problem, tail.output) + tail.bytes,
    },
  ];
}

/** Tiles on subgroup matrices: results of a subgroup, subgroups along columns and rows, products a stage. */
const matrixShapes = [
  [16, 32, 2, 2, 16],
  [32, 32, 1, 2, 16],
  [32, 32, 2, 2, 16],
  [32, 32, 2, 2, 32],
  [32, 32, 2, 4, 32],
  [64, 32, 2, 2, 32],
  [64, 32, 2, 4, 32],
] as const;

/** A kernel on subgroup matrices. Usual only where a table prescribes its accumulation order. */
const matrixStrategy = (
  traits: Pick<ProductStrategy<ConvProblem>, 'order' | 'roundsOperands'> & { readonly name: MatrixKernel },
): ProductStrategy<ConvProblem> => ({
  ...traits,
  operands: 'subgroup matrices',
  unrolls: false,
  suits: (problem, device) => problem.accumulate !== true && shapeOf(traits.name, device) !== undefined,
  usual(_problem, tuning, device) {
    if (device.matrices === undefined) return [];
    const choice: KernelChoice = { kernel: traits.name, ...usualMatrixTile(traits.name, device.matrices) };
    return this.unfit(choice, tuning, device) === undefined ? [choice] : [];
  },
  unfit({ stage, splits = 1, ...tile }, _problem, device) {
    if (stage === undefined || splits !== 1) return `${traits.name} needs stages and has no splits`;
    return unfitMatrices(traits.name, { ...tile, stage }, device);
  },
  candidates: (_start, _problem, { matrices }) =>
    matrices === undefined
      ? []
      : matrixShapes.map(([rows, columns, across, ranks, depth]) => ({
          kernel: traits.name,
          ...matrixTile(matrices.subgroupSize, [rows, columns], [across, ranks], depth),
        })),
  lower: (problem, choice, group, context) =>
    lowerConvMatrix(traits.name, problem, stagedChoice(choice), group, context),
});

/** Subgroup matrices of f32. */
export const convMatrix = matrixStrategy({ name: 'gemm/convMatrix', order: 'matrix' });

/** Subgroup matrices of f16, to which operands are rounded; sums are f32. */
export const convHalfMatrix = matrixStrategy({
  name: 'gemm/convHalfMatrix',
  order: 'halfMatrix',
  roundsOperands: true,
});
