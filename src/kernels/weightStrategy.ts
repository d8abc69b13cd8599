import { byteLength } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { link } from '../wgsl/link.js';
import type { KernelDevice } from './device.js';
import type { KernelChoice, ProductKernel, Tile, Stage } from './problem.js';
import type { KernelTraits, ProductStrategy } from './strategy.js';
import { sumSplits } from './sumSplits.js';
import { signedWords, unrolled } from './tiles.js';
import { bindingBase } from './types.js';
import type { Dispatch, LoweringContext, UniformParameter } from './types.js';
import type { WeightProblem } from './weightProblem.js';

/** A weight gradient of a layer. */
export interface WeightProduct {
  /** Slices of the batch, usually one; all but the last have equally many lines. */
  readonly slices: readonly WeightProblem[];
  /** The gradients of weights and bias. */
  readonly outputs: readonly [Tensor, Tensor?];
}

/** Columns of the result, with that of a bias. */
export const widthOf = ({ slices, outputs }: WeightProduct): number =>
  slices[0]!.columns + (outputs[1] === undefined ? 0 : 1);

/** A tile, and how a workgroup stages operands, before the splits are known. */
export type WeightTile = Tile & { readonly stage?: Stage };

/** What one dispatch of a kernel is linked from. */
export interface WeightForm {
  /** Tile and variant, for people to read. */
  readonly name: string;
  readonly constants: Readonly<Record<string, number | boolean>>;
  readonly regions: Readonly<Record<string, string>>;
}

/** What the kernels of weight gradients differ in. */
export interface WeightKernel extends Omit<KernelTraits, 'order'> {
  suits(problem: WeightProblem, bias: boolean, device: KernelDevice): boolean;
  /** The usual tile of a problem whose rows are `width` wide; undefined where another kernel is better. */
  usualTile(problem: WeightProblem, width: number, device: KernelDevice): WeightTile | undefined;
  /** Invocations along the columns, which are `width`: one for each tile unless told. */
  owners?(problem: WeightProblem, tile: Tile, width: number): number;
  /** How a slice is computed. `padded`: a column may lie outside the image. */
  form(
    choice: KernelChoice,
    slice: WeightProblem,
    how: { readonly bias: boolean; readonly padded: boolean; readonly linesPerSplit: number },
    device: KernelDevice,
  ): WeightForm;
  /** Its loops are unrolled: Mesa's compiler gives up on loops as long as those of a strip or an image. */
  readonly writtenOut?: boolean;
  /** Splits are made of whole images. */
  readonly wholeImages?: boolean;
  /** Results without splits are stored by a function of its own. */
  readonly ownStore?: boolean;
}

/**
 * Workgroups that fill a software adapter, where each split is stored and added up by scalar loads. Not data of a
 * processor, nor how many there are: it decides the splits, and with them the bits of results.
 */
export const softwareWorkgroups = 4;

/** Workgroups that fill the device. */
const wantedWorkgroups = (software: boolean): number => (software ? softwareWorkgroups : 256);

/**
 * Splits of the contraction: enough workgroups to fill the device, none of them shorter than a few hundred products.
 */
function chooseSplits(problem: WeightProblem, workgroups: number, software: boolean): number {
  return Math.min(Math.ceil(wantedWorkgroups(software) / workgroups), mostSplits(problem));
}

export const mostSplits = ({ lines, pixels }: WeightProblem): number =>
  Math.max(1, Math.min(Math.floor((lines * pixels) / 256), lines));

const gridOf = (kernel: WeightKernel, problem: WeightProblem, tile: WeightTile, width: number): [number, number] => [
  Math.ceil((kernel.owners?.(problem, tile, width) ?? Math.ceil(width / tile.columns)) / tile.lanes),
  Math.ceil(problem.rows / (tile.rows * (tile.stage?.ranks ?? 1))),
];

/** Whether some column of a slice can lie outside its image, or next to its neighbor's. */
function isPadded({ attrs, taps, pixels, source, linesPerImage }: WeightProblem): boolean {
  const plainTap = taps[0] * taps[1] === 1 && pixels === source[1] && linesPerImage === source[0];
  return !plainTap || attrs.padding.some((size) => size !== 0) || attrs.stride.some((step) => step !== 1);
}

/** How the contraction of a product is split. */
interface Splits {
  /** Lines of each split, and splits, of each slice. */
  readonly lines: readonly number[];
  readonly counts: readonly number[];
  readonly total: number;
}

function splitsOf({ slices }: WeightProduct, wanted: number, wholeImages: boolean): Splits {
  const whole = wholeImages ? slices[0]!.linesPerImage : 1;
  const lines = slices.map((slice) => whole * Math.ceil(slice.lines / Math.min(wanted, slice.lines) / whole));
  const counts = slices.map((slice, index) => Math.ceil(slice.lines / lines[index]!));
  return { lines, counts, total: counts.reduce((sum, count) => sum + count, 0) };
}

/** The uniform words of shaders/gemm/weightParameters.wgsl. */
function parametersOf(
  slice: WeightProblem,
  choice: KernelChoice,
  place: {
    readonly linesPerSplit: number;
    readonly firstSplit: number;
    readonly splitSize: number;
    /** Where weights go, or partial sums, and the bias. */
    readonly weight: number;
    readonly bias: Tensor | undefined;
  },
): UniformParameter[] {
  const { attrs, aStrides, bStrides } = slice;
  const { bias } = place;
  return signedWords(
    {
      rows: slice.rows,
      columns: slice.columns,
      groups: slice.groups,
      bias: bias === undefined ? 0 : 1,
      lines: slice.lines,
      linesPerSplit: place.linesPerSplit,
      linesPerImage: slice.linesPerImage,
      pixels: slice.pixels,
      taps: slice.taps[0] * slice.taps[1],
      tapsW: slice.taps[1],
      sourceH: slice.source[0],
      sourceW: slice.source[1],
      strideH: attrs.stride[0],
      strideW: attrs.stride[1],
      dilationH: attrs.dilation[0],
      dilationW: attrs.dilation[1],
      paddingH: attrs.padding[0],
      paddingW: attrs.padding[1],
      aBase: bindingBase(slice.g) + slice.aStart,
      aBatch: aStrides.batch,
      aRow: aStrides.row,
      aLine: aStrides.line,
      aPixel: aStrides.pixel,
      bBase: bindingBase(slice.x),
      bBatch: bStrides.batch,
      bChannel: bStrides.channel,
      bH: bStrides.h,
      bW: bStrides.w,
      cBase: place.weight,
      cSplit: place.splitSize,
      biasBase: bias === undefined ? 0 : bindingBase(bias),
      firstSplit: place.firstSplit,
      tileColumns: choice.columns,
      tileRows: choice.rows,
    },
    ['paddingH', 'paddingW'],
  );
}

/** The shader regions that say where results are stored. */
function storeRegions(kernel: WeightKernel, split: boolean, bias: boolean): Record<string, string> {
  if (split) {
    const store = '  c[p.cBase + (split + p.firstSplit) * p.cSplit + row * (p.columns + p.bias) + column] = value;\n';
    return { bindings: '', store };
  }
  if (bias) return {};
  return {
    bindings: '',
    ...(kernel.ownStore === true ? {} : { store: '  c[p.cBase + row * p.columns + column] = value;\n' }),
  };
}

/** One dispatch for each slice; partial sums of all slices and splits are added in order by gemm/sumSplits. */
function lowerProduct(
  kernel: WeightKernel,
  product: WeightProduct,
  choice: KernelChoice,
  context: LoweringContext,
): Dispatch[] {
  const { slices, outputs } = product;
  const [weight, bias] = outputs;
  const problem = slices[0]!;
  const width = widthOf(product);
  const grid = gridOf(kernel, problem, choice, width);
  const splits = splitsOf(product, choice.splits ?? 1, kernel.wholeImages === true);
  const rows = problem.rows * problem.groups;
  const partial = splits.total > 1 ? context.scratch(`${weight.name}.partial`, [splits.total, rows, width]) : undefined;
  const store = storeRegions(kernel, partial !== undefined, bias !== undefined);
  const products = slices.map((slice, index): Dispatch => {
    const linesPerSplit = splits.lines[index]!;
    const how = { bias: bias !== undefined, padded: isPadded(slice), linesPerSplit };
    const form = kernel.form(choice, slice, how, context.device);
    return {
      kernel: kernel.name,
      variant: `${form.name}${splits.total > 1 ? ` split${splits.total}` : ''}`,
      code: link(kernel.name, {
        unroll: kernel.writtenOut === true ? 'all' : unrolled(choice, context.device),
        constants: form.constants,
        regions: { ...form.regions, ...store },
      }),
      operands: [
        { name: 'a', tensor: slice.g, access: 'read' },
        { name: 'b', tensor: slice.x, access: 'read' },
        { name: 'c', tensor: partial ?? weight, access: partial !== undefined && index > 0 ? 'readWrite' : 'write' },
        ...(partial === undefined && bias !== undefined
          ? [{ name: 'biasGradient', tensor: bias, access: 'write' as const }]
          : []),
      ],
      parameters: parametersOf(slice, choice, {
        linesPerSplit,
        firstSplit: splits.counts.slice(0, index).reduce((sum, count) => sum + count, 0),
        splitSize: rows * width,
        weight: partial === undefined ? bindingBase(weight) : 0,
        bias,
      }),
      workgroups: [grid[0], grid[1], slice.groups * splits.counts[index]!],
      flops: slice.flops,
      bytes:
        byteLength(slice.g) +
        byteLength(slice.x) +
        4 * (partial === undefined ? 1 : splits.counts[index]!) * rows * width,
    };
  });
  if (partial === undefined) return products;
  return [...products, sumSplits(partial, weight, bias, problem.columns)];
}

/** A kernel of weight gradients as a strategy. Their sums have an order of their own, which splits may change. */
export const weightStrategy = (
  kernel: WeightKernel & { readonly name: ProductKernel },
): ProductStrategy<WeightProduct> => ({
  ...kernel,
  order: 'weights',
  suits: ({ slices, outputs }, device) => kernel.suits(slices[0]!, outputs[1] !== undefined, device),
  usual(product, _tuning, device) {
    const problem = product.slices[0]!;
    const width = widthOf(product);
    const tile = kernel.usualTile(problem, width, device);
    if (tile === undefined) return [];
    const [x, y] = gridOf(kernel, problem, tile, width);
    const splits = chooseSplits(problem, x * y * problem.groups, device.software);
    return [{ kernel: kernel.name, ...tile, splits }];
  },
  lower: (product, choice, _group, context) => lowerProduct(kernel, product, choice, context),
});
