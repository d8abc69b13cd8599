import { byteLength, elementCount, imagePitch } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { suitsWeightImages, weightImagesForm, weightImagesTile } from './convImages.js';
import { choose } from './choice.js';
import type { KernelChoice, ProductKernel, TuningProblem } from './choice.js';
import { isDepthwise } from '../graph/convolution.js';
import { lowerDepthwiseWeightGradient } from './depthwise.js';
import { link } from '../wgsl/link.js';
import { imagesOf, sliceLength } from './slice.js';
import { inFours, rightRegion, stageConstants, stagedName, stagedTile, stageRegions, suitsStages } from './staging.js';
import type { LoadMode } from './staging.js';
import { chooseTile, isPointwise, laneRegions, tileConstants, tileName, signedWords, unrolled } from './tiles.js';
import { bindingBase } from './types.js';
import type { Dispatch, KernelDevice, Lowering, LoweringContext } from './types.js';
import { readsColumns, suitsWeightLinear, weightLinearForm, weightLinearTile } from './weightGradientLinear.js';
import { sumSplits } from './sumSplits.js';
import type { WeightProblem } from './weightProblem.js';
import { suitsWeightRows, weightRowsForm, weightRowsTile } from './weightGradientRows.js';

/**
 * Workgroups that fill the device: of a GPU, and of an adapter on the CPU, where each split is stored and added up
 * number by number. The latter does not depend on how many processors there are, so that results do not.
 */
const wantedWorkgroups = (software: boolean): number => (software ? 4 : 256);

/**
 * Splits of the contraction: enough workgroups to fill the device, none of them shorter than a few hundred products.
 */
function chooseSplits(problem: WeightProblem, workgroups: number, software: boolean): number {
  return Math.min(Math.ceil(wantedWorkgroups(software) / workgroups), mostSplits(problem));
}

const mostSplits = ({ lines, pixels }: WeightProblem): number =>
  Math.max(1, Math.min(Math.floor((lines * pixels) / 256), lines));

/** What decides how fast a weight gradient runs; see {@link TuningProblem}. */
function tuningProblem(problem: WeightProblem, width: number, batch: number, device: KernelDevice): TuningProblem {
  const bias = width > problem.columns;
  const { rows, columns, groups, taps, linesPerImage, pixels, lines, aStrides, attrs } = problem;
  const perImage = aStrides.batch === 0 ? '' : ` lines${linesPerImage}x${pixels}`;
  const mode = [
    ...(attrs.stride.some((by) => by !== 1) ? [`step${attrs.stride.join('x')}`] : []),
    ...(attrs.padding.some((size) => size !== 0) ? ['padded'] : []),
    ...(groups === 1 ? [] : [`groups${groups}`]),
  ];
  return {
    layer: [`weights ${rows}x${columns} taps${taps.join('x')}${perImage}`, ...mode].join(' '),
    batch,
    kernels: [
      'gemm/weightGradient',
      ...(suitsWeightRows(problem, device) ? (['gemm/weightGradientRows'] as const) : []),
      ...(suitsWeightImages(problem, bias, device) ? (['gemm/weightGradientImages'] as const) : []),
      ...(suitsWeightLinear(problem, device) ? (['gemm/weightGradientLinear'] as const) : []),
      'gemm/weightGradientTiled',
    ],
    writesMask: false,
    rows,
    width,
    taps: taps[1],
    image: taps[0] * taps[1],
    lines,
  };
}

/** The usual kernel and tile of a weight gradient whose rows are `width` wide. */
function usualTile(problem: WeightProblem, width: number, { device }: LoweringContext): Omit<KernelChoice, 'splits'> {
  const { rows, columns, groups, lines, pixels } = problem;
  const staged = suitsStages(rows, lines * pixels, device)
    ? stagedTile(rows, width, groups * mostSplits(problem), device)
    : undefined;
  if (staged !== undefined) return { kernel: 'gemm/weightGradientTiled', ...staged };
  if (suitsWeightRows(problem, device) && device.plainCompiler !== true) {
    return { kernel: 'gemm/weightGradientRows', ...weightRowsTile(problem, device) };
  }
  if (suitsWeightImages(problem, width > columns, device))
    return { kernel: 'gemm/weightGradientImages', ...weightImagesTile(problem, device) };
  const linear = suitsWeightLinear(problem, device) ? weightLinearTile(problem, device) : undefined;
  if (linear !== undefined) return { kernel: 'gemm/weightGradientLinear', ...linear };
  return { kernel: 'gemm/weightGradient', ...chooseTile({ rows, columns: width, maxRows: 16 }, device) };
}

/** The same with its splits. */
function usualChoice(problem: WeightProblem, width: number, context: LoweringContext): KernelChoice {
  const tile = usualTile(problem, width, context);
  const [x, y] = gridOf(problem, tile, width);
  return { ...tile, splits: chooseSplits(problem, x * y * problem.groups, context.device.software) };
}

/**
 * Invocations along the columns, which are `width`: what each owns of them depends on the kernel, and a bias takes
 * one more.
 */
function ownersOf({ columns, taps }: WeightProblem, tile: Omit<KernelChoice, 'splits'>, width: number): number {
  const bias = width - columns;
  if (tile.kernel === 'gemm/weightGradientRows') return Math.ceil(columns / (taps[0] * tile.columns)) * taps[0] + bias;
  if (tile.kernel === 'gemm/weightGradientImages') return columns / (taps[0] * taps[1]) + bias;
  return Math.ceil((tile.kernel === 'gemm/weightGradientLinear' ? columns : width) / tile.columns);
}

const gridOf = (problem: WeightProblem, tile: Omit<KernelChoice, 'splits'>, width: number): [number, number] => [
  Math.ceil(ownersOf(problem, tile, width) / tile.lanes),
  Math.ceil(problem.rows / (tile.rows * (tile.stage?.ranks ?? 1))),
];

/** How gemm/weightGradientTiled can read the gradient and the input four numbers at a time. */
function loadModes(
  { g, x, rows, columns, lines, linesPerImage, pixels, source, aStrides, bStrides, aStart }: WeightProblem,
  padded: boolean,
  linesPerSplit: number,
): [LoadMode, LoadMode] {
  // Pixels of an image in one piece, of which every range begins at a multiple of four.
  const even = inFours(linesPerImage * pixels) && (linesPerSplit >= lines || inFours(linesPerSplit * pixels));
  const [aBase, bBase] = [bindingBase(g) + aStart, bindingBase(x)];
  const left = (): LoadMode => {
    if (!inFours(aBase, aStrides.batch)) return 0;
    if (aStrides.pixel === 1 && even && (linesPerImage === 1 || aStrides.line === pixels) && inFours(aStrides.row))
      return 2;
    return aStrides.row === 1 && inFours(rows, aStrides.line, aStrides.pixel) ? 1 : 0;
  };
  const right = (): LoadMode => {
    if (padded || !inFours(bBase, bStrides.batch)) return 0;
    if (bStrides.w === 1 && even && (linesPerImage === 1 || bStrides.h === source[1]) && inFours(bStrides.channel))
      return 2;
    return bStrides.channel === 1 && inFours(columns, bStrides.h, bStrides.w) ? 1 : 0;
  };
  return [left(), right()];
}

/** Kernels whose loops are written out: Mesa's compiler gives up on loops as long as those of a strip or an image. */
const writtenOut: readonly ProductKernel[] = [
  'gemm/weightGradientRows',
  'gemm/weightGradientImages',
  'gemm/weightGradientLinear',
];

/** The name, constants and regions of a tile. */
function formOf(
  choice: KernelChoice,
  problem: WeightProblem,
  bias: boolean,
  padded: boolean,
  linesPerSplit: number,
  device: KernelDevice,
) {
  const { stage, columns } = choice;
  if (choice.kernel === 'gemm/weightGradientRows') return weightRowsForm(choice, problem, bias, device);
  if (choice.kernel === 'gemm/weightGradientImages') return weightImagesForm(choice, problem, device);
  if (choice.kernel === 'gemm/weightGradientLinear') return weightLinearForm(choice, bias, device);
  if (stage === undefined) {
    const fours = inFours(columns) && !padded && readsColumns(problem, device);
    return {
      name: `${tileName(choice)}${fours ? ' vec4' : ''}`,
      constants: {
        PADDED: padded,
        FOURS: fours ? columns / 4 : 0,
        SINGLES: fours ? 0 : columns,
        ...tileConstants(choice, device),
      },
      regions: { ...laneRegions(choice, device), ...rightRegion(fours) },
    };
  }
  const [left, right] = stage.vectors ? loadModes(problem, padded, linesPerSplit) : ([0, 0] as const);
  const tile = { ...choice, stage };
  const along = problem.aStrides.pixel < problem.aStrides.row;
  return {
    name: stagedName(tile, left, right),
    constants: { PADDED: padded, ...stageConstants(tile, left, right, along, device) },
    regions: stageRegions(left, right),
  };
}

/**
 * Lowers a weight gradient given as slices of the batch (usually one). Partial sums of all slices and splits are
 * added in order by gemm/sumSplits.
 */
function lowerWeightGradient(
  slices: readonly WeightProblem[],
  batch: number,
  outputs: readonly [Tensor, Tensor?],
  context: LoweringContext,
): Dispatch[] {
  const [weight, bias] = outputs;
  const problem = slices[0]!;
  const width = problem.columns + (bias === undefined ? 0 : 1);
  const tuning = tuningProblem(problem, width, batch, context.device);
  const tile = choose(tuning, context.device, [usualChoice(problem, width, context)]);
  const grid = gridOf(problem, tile, width);
  // All slices but the last, which may be shorter, have equally many lines.
  const whole = tile.kernel === 'gemm/weightGradientImages' ? problem.linesPerImage : 1;
  const perSplit = slices.map(
    (slice) => whole * Math.ceil(slice.lines / Math.min(tile.splits ?? 1, slice.lines) / whole),
  );
  const splitsOf = slices.map((slice, index) => Math.ceil(slice.lines / perSplit[index]!));
  const splits = splitsOf.reduce((sum, count) => sum + count, 0);
  const allRows = problem.rows * problem.groups;
  const partial = splits > 1 ? context.scratch(`${weight.name}.partial`, [splits, allRows, width]) : undefined;
  const regions: Record<string, string> = {};
  if (partial !== undefined) {
    regions['bindings'] = '';
    regions['store'] =
      '  c[p.cBase + (split + p.firstSplit) * p.cSplit + row * (p.columns + p.bias) + column] = value;\n';
  } else if (bias === undefined) {
    regions['bindings'] = '';
    if (tile.kernel !== 'gemm/weightGradientLinear')
      regions['store'] = '  c[p.cBase + row * p.columns + column] = value;\n';
  }
  const products = slices.map((slice, index): Dispatch => {
    const { attrs, aStrides, bStrides } = slice;
    const plainTap =
      slice.taps[0] * slice.taps[1] === 1 &&
      slice.pixels === slice.source[1] &&
      slice.linesPerImage === slice.source[0];
    const padded = !plainTap || attrs.padding.some((size) => size !== 0) || attrs.stride.some((step) => step !== 1);
    const form = formOf(tile, slice, bias !== undefined, padded, perSplit[index]!, context.device);
    return {
      kernel: tile.kernel,
      variant: `${form.name}${splits > 1 ? ` split${splits}` : ''}`,
      tuning: { problem: tuning, choice: tile },
      code: link(tile.kernel, {
        unroll: writtenOut.includes(tile.kernel) ? 'all' : unrolled(tile, context.device),
        constants: form.constants,
        regions: { ...form.regions, ...regions },
      }),
      operands: [
        { name: 'a', tensor: slice.g, access: 'read' },
        { name: 'b', tensor: slice.x, access: 'read' },
        { name: 'c', tensor: partial ?? weight, access: partial !== undefined && index > 0 ? 'readWrite' : 'write' },
        ...(partial === undefined && bias !== undefined
          ? [{ name: 'biasGradient', tensor: bias, access: 'write' as const }]
          : []),
      ],
      parameters: signedWords(
        {
          rows: slice.rows,
          columns: slice.columns,
          groups: slice.groups,
          bias: bias === undefined ? 0 : 1,
          lines: slice.lines,
          linesPerSplit: perSplit[index]!,
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
          cBase: partial === undefined ? bindingBase(weight) : 0,
          cSplit: allRows * width,
          biasBase: bias === undefined ? 0 : bindingBase(bias),
          firstSplit: splitsOf.slice(0, index).reduce((sum, count) => sum + count, 0),
          tileColumns: tile.columns,
          tileRows: tile.rows,
        },
        ['paddingH', 'paddingW'],
      ),
      workgroups: [grid[0], grid[1], slice.groups * splitsOf[index]!],
      flops: slice.flops,
      bytes:
        byteLength(slice.g) +
        byteLength(slice.x) +
        4 * (partial === undefined ? 1 : splitsOf[index]!) * allRows * width,
    };
  });
  if (partial === undefined) return products;
  return [...products, sumSplits(partial, weight, bias, problem.columns)];
}

export const lowerConv2dWeightGradient: Lowering<'conv2dWeightGradient'> = (node, _group, context) => {
  const [g, x] = node.inputs as [Tensor, Tensor];
  const { groups, weightShape } = node.attrs;
  const [outputs, inner, kh, kw] = weightShape as [number, number, number, number];
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const [, , oh, ow] = g.shape as [number, number, number, number];
  if (isDepthwise(node.attrs, channels, weightShape)) {
    return lowerDepthwiseWeightGradient(g, x, node.attrs, weightShape, node.outputs as [Tensor, Tensor?], context);
  }
  const flat = isPointwise(node.attrs, [kh, kw]);
  const length = sliceLength([g, x], batch, context.device.maxBindingBytes) || 1;
  const slices: WeightProblem[] = [];
  for (let first = 0; first < batch; first += length) {
    const count = Math.min(length, batch - first);
    slices.push({
      g: count === batch ? g : imagesOf(g, first, count),
      x: count === batch ? x : imagesOf(x, first, count),
      rows: outputs / groups,
      columns: inner * kh * kw,
      groups,
      lines: flat ? count : count * oh,
      linesPerImage: flat ? 1 : oh,
      pixels: flat ? oh * ow : ow,
      taps: [kh, kw],
      source: flat ? [1, height * width] : [height, width],
      attrs: node.attrs,
      aStrides: { batch: imagePitch(g), row: oh * ow, line: ow, pixel: 1 },
      bStrides: { batch: imagePitch(x), channel: height * width, h: width, w: 1 },
      aStart: 0,
      flops: 2 * (elementCount(g.shape) / batch) * count * inner * kh * kw,
    });
  }
  return lowerWeightGradient(slices, batch, node.outputs as [Tensor, Tensor?], context);
};

export const lowerLinearWeightGradient: Lowering<'linearWeightGradient'> = (node, _group, context) => {
  const [g, x] = node.inputs as [Tensor, Tensor];
  const [batch, outputs] = g.shape as [number, number];
  const inputs = x.shape[1]!;
  const [weight, bias] = node.outputs as [Tensor, Tensor?];
  // A weight larger than a binding is made in blocks of rows.
  const length = sliceLength([weight], outputs, context.device.maxBindingBytes) || 1;
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < outputs; first += length) {
    const rows = Math.min(length, outputs - first);
    const whole = rows === outputs;
    const weightPart = whole ? weight : imagesOf(weight, first, rows);
    const problem: WeightProblem = {
      g,
      x,
      rows,
      columns: inputs,
      groups: 1,
      lines: 1,
      linesPerImage: 1,
      pixels: batch,
      taps: [1, 1],
      source: [1, batch],
      attrs: { stride: [1, 1], dilation: [1, 1], padding: [0, 0, 0, 0] },
      aStrides: { batch: 0, row: 1, line: 0, pixel: outputs },
      bStrides: { batch: 0, channel: 1, h: 0, w: inputs },
      aStart: first,
      storesFours: inFours(bindingBase(weightPart)),
      flops: 2 * batch * rows * inputs,
    };
    const biasPart = bias === undefined || whole ? bias : imagesOf(bias, first, rows);
    const parts: [Tensor, Tensor?] = [weightPart];
    if (biasPart !== undefined) parts.push(biasPart);
    dispatches.push(...lowerWeightGradient([problem], batch, parts, context));
  }
  return dispatches;
};
