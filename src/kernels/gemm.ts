import { elementCount } from '../graph/types.js';
import type { ConvAttrs, Node, Tensor } from '../graph/types.js';
import { lowerConvRows, suitsRows } from './convRows.js';
import { link } from './link.js';
import { epilogue } from './pointwise.js';
import { chooseTile, laneRegions } from './tiles.js';
import type { Tile } from './tiles.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, Lowering, LoweringContext, Parameter } from './types.js';

export const words = (values: Readonly<Record<string, number>>, signed: readonly string[] = []): Parameter[] =>
  Object.entries(values).map(([name, value]) => ({ name, type: signed.includes(name) ? 'i32' : 'u32', value }));

/** One implicit GEMM of shaders/gemm/conv.wgsl, in the terms of its parameters. */
export interface ConvProblem {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias: Tensor | undefined;
  readonly rows: number;
  readonly batch: number;
  readonly inner: number;
  readonly groups: number;
  readonly taps: readonly [number, number];
  readonly columns: readonly [number, number];
  readonly source: readonly [number, number];
  readonly step: readonly [number, number];
  readonly tapOrigin: readonly [number, number];
  readonly tapStep: readonly [number, number];
  readonly phases: readonly [number, number];
  readonly aStrides: { readonly row: number; readonly inner: number; readonly tapH: number; readonly tapW: number; readonly group: number };
  readonly bStrides: { readonly batch: number; readonly inner: number; readonly h: number; readonly w: number; readonly group: number };
  readonly cStrides: { readonly batch: number; readonly row: number; readonly w: number };
  readonly flops: number;
}

const signedFields = ['tapOriginH', 'tapOriginW', 'tapStepH', 'tapStepW'];

function lowerConvProblem(problem: ConvProblem, group: Group, context: LoweringContext): Dispatch[] {
  if (suitsRows(problem)) return lowerConvRows(problem, group, context);
  const tail = epilogue(group, context, 4, problem.bias);
  const columnsPerPhase = problem.batch * Math.ceil(problem.columns[0] / problem.phases[0]) * Math.ceil(problem.columns[1] / problem.phases[1]);
  const tile = chooseTile({ rows: problem.rows, columns: columnsPerPhase, maxRows: 16 }, context.device);
  const { aStrides, bStrides, cStrides } = problem;
  return [
    {
      kernel: 'gemm/conv',
      variant: [tileName(tile), tail.variant].filter((part) => part !== '').join(' '),
      code: link('gemm/conv', { constants: tileConstants(tile), regions: { ...tail.regions, ...laneRegions(tile, context.device) } }),
      operands: [
        { name: 'a', tensor: problem.a, access: 'read' },
        { name: 'b', tensor: problem.b, access: 'read' },
        { name: 'c', tensor: tail.output, access: 'write' },
        ...tail.operands,
      ],
      parameters: [
        ...words(
          {
            rows: problem.rows,
            batch: problem.batch,
            inner: problem.inner,
            groups: problem.groups,
            tapsH: problem.taps[0],
            tapsW: problem.taps[1],
            colsH: problem.columns[0],
            colsW: problem.columns[1],
            sourceH: problem.source[0],
            sourceW: problem.source[1],
            stepH: problem.step[0],
            stepW: problem.step[1],
            tapOriginH: problem.tapOrigin[0],
            tapOriginW: problem.tapOrigin[1],
            tapStepH: problem.tapStep[0],
            tapStepW: problem.tapStep[1],
            phasesH: problem.phases[0],
            phasesW: problem.phases[1],
            aRow: aStrides.row,
            aInner: aStrides.inner,
            aTapH: aStrides.tapH,
            aTapW: aStrides.tapW,
            aGroup: aStrides.group,
            aBase: bindingBase(problem.a),
            bBatch: bStrides.batch,
            bInner: bStrides.inner,
            bH: bStrides.h,
            bW: bStrides.w,
            bGroup: bStrides.group,
            bBase: bindingBase(problem.b),
            cBase: bindingBase(tail.output),
            cBatch: cStrides.batch,
            cRow: cStrides.row,
            cW: cStrides.w,
          },
          signedFields,
        ),
        ...tail.parameters,
      ],
      workgroups: [
        Math.ceil(columnsPerPhase / (tile.lanes * tile.columns)),
        Math.ceil(problem.rows / tile.rows),
        problem.groups * problem.phases[0] * problem.phases[1],
      ],
      flops: problem.flops + tail.flops,
      bytes: 4 * (elementCount(problem.a.shape) + elementCount(problem.b.shape) + elementCount(tail.output.shape)) + tail.bytes,
    },
  ];
}

export const tileName = (tile: Tile): string => `${tile.rows}x${tile.columns}x${tile.lanes}`;
export const tileConstants = (tile: Tile): Record<string, number> => ({ TM: tile.rows, TN: tile.columns, WX: tile.lanes, SG: tile.share });

/** A 1 x 1 convolution without padding or stride is one product over all pixels of an image. */
const isPointwise = (attrs: ConvAttrs, kernel: readonly [number, number]): boolean =>
  kernel[0] === 1 && kernel[1] === 1 && attrs.stride.every((s) => s === 1) && attrs.padding.every((pad) => pad === 0);

export const lowerConv2d: Lowering<'conv2d'> = (node, group, context) => {
  const [x, w, bias] = node.inputs as [Tensor, Tensor, Tensor | undefined];
  const { stride, padding, dilation, groups } = node.attrs;
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [outputs, inner, kh, kw] = w.shape as [number, number, number, number];
  const [batch, , oh, ow] = node.outputs[0]!.shape as [number, number, number, number];
  const flat = isPointwise(node.attrs, [kh, kw]);
  const rows = outputs / groups;
  return lowerConvProblem(
    {
      a: w,
      b: x,
      bias,
      rows,
      batch,
      inner,
      groups,
      taps: [kh, kw],
      columns: flat ? [1, oh * ow] : [oh, ow],
      source: flat ? [1, height * width] : [height, width],
      step: stride,
      tapOrigin: [-padding[0], -padding[1]],
      tapStep: dilation,
      phases: [1, 1],
      aStrides: { row: inner * kh * kw, inner: kh * kw, tapH: kw, tapW: 1, group: rows * inner * kh * kw },
      bStrides: { batch: channels * height * width, inner: height * width, h: width, w: 1, group: inner * height * width },
      cStrides: { batch: outputs * oh * ow, row: oh * ow, w: 1 },
      flops: 2 * elementCount(node.outputs[0]!.shape) * inner * kh * kw,
    },
    group,
    context,
  );
};

export const lowerConv2dInputGradient: Lowering<'conv2dInputGradient'> = (node, group, context) => {
  const [g, w] = node.inputs as [Tensor, Tensor];
  const { stride, padding, dilation, groups, inputShape } = node.attrs;
  const [batch, channels, height, width] = inputShape as [number, number, number, number];
  const [outputs, rows, kh, kw] = w.shape as [number, number, number, number];
  const [, , oh, ow] = g.shape as [number, number, number, number];
  const flat = isPointwise(node.attrs, [kh, kw]);
  const inner = outputs / groups;
  return lowerConvProblem(
    {
      a: w,
      b: g,
      bias: undefined,
      rows,
      batch,
      inner,
      groups,
      taps: [kh, kw],
      columns: flat ? [1, height * width] : [height, width],
      source: flat ? [1, oh * ow] : [oh, ow],
      step: [1, 1],
      tapOrigin: [padding[0], padding[1]],
      tapStep: [-dilation[0], -dilation[1]],
      phases: stride,
      aStrides: { row: kh * kw, inner: rows * kh * kw, tapH: kw, tapW: 1, group: inner * rows * kh * kw },
      bStrides: { batch: outputs * oh * ow, inner: oh * ow, h: ow, w: 1, group: inner * oh * ow },
      cStrides: { batch: channels * height * width, row: height * width, w: 1 },
      flops: 2 * elementCount(g.shape) * rows * kh * kw,
    },
    group,
    context,
  );
};

/** A plain product C[row, column] of strided matrices; columns run along the lanes. */
interface ProductProblem {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias?: Tensor | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  readonly aStrides: { readonly row: number; readonly inner: number };
  readonly bStrides: { readonly inner: number; readonly column: number };
  /** C as [batch = columns, channels = rows] (a layer's output) or as a plain row-major matrix. */
  readonly layer: boolean;
}

function lowerProduct(problem: ProductProblem, group: Group, context: LoweringContext): Dispatch[] {
  const { a, b, bias, rows, columns, inner, aStrides, bStrides, layer } = problem;
  return lowerConvProblem(
    {
      a,
      b,
      bias,
      rows,
      batch: layer ? columns : 1,
      inner,
      groups: 1,
      taps: [1, 1],
      columns: [1, layer ? 1 : columns],
      source: [1, layer ? 1 : columns],
      step: [1, 1],
      tapOrigin: [0, 0],
      tapStep: [1, 1],
      phases: [1, 1],
      aStrides: { ...aStrides, tapH: 0, tapW: 0, group: 0 },
      bStrides: { batch: layer ? bStrides.column : 0, inner: bStrides.inner, h: 0, w: layer ? 0 : bStrides.column, group: 0 },
      cStrides: layer ? { batch: rows, row: 1, w: 0 } : { batch: 0, row: columns, w: 1 },
      flops: 2 * rows * columns * inner,
    },
    group,
    context,
  );
}

export const lowerLinear: Lowering<'linear'> = (node, group, context) => {
  const [x, w, bias] = node.inputs as [Tensor, Tensor, Tensor | undefined];
  const [rows, inner] = w.shape as [number, number];
  const columns = x.shape[0]!;
  return lowerProduct(
    { a: w, b: x, bias, rows, columns, inner, aStrides: { row: inner, inner: 1 }, bStrides: { inner: 1, column: inner }, layer: true },
    group,
    context,
  );
};

export const lowerLinearInputGradient: Lowering<'linearInputGradient'> = (node, group, context) => {
  const [g, w] = node.inputs as [Tensor, Tensor];
  const [inner, rows] = w.shape as [number, number];
  const columns = g.shape[0]!;
  return lowerProduct(
    { a: w, b: g, rows, columns, inner, aStrides: { row: 1, inner: rows }, bStrides: { inner: 1, column: inner }, layer: true },
    group,
    context,
  );
};

export const lowerMatmul: Lowering<'matmul'> = (node, group, context) => {
  const [a, b] = node.inputs as [Tensor, Tensor];
  const { transposeA, transposeB } = node.attrs;
  const [rows, columns] = node.outputs[0]!.shape as [number, number];
  const inner = transposeA ? a.shape[0]! : a.shape[1]!;
  return lowerProduct(
    {
      a,
      b,
      rows,
      columns,
      inner,
      aStrides: transposeA ? { row: 1, inner: rows } : { row: inner, inner: 1 },
      bStrides: transposeB ? { inner: 1, column: inner } : { inner: columns, column: 1 },
      layer: false,
    },
    group,
    context,
  );
};

/** One weight gradient of shaders/gemm/weightGradient.wgsl. */
interface WeightProblem {
  readonly g: Tensor;
  readonly x: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  readonly lines: number;
  readonly linesPerImage: number;
  readonly pixels: number;
  readonly taps: readonly [number, number];
  readonly source: readonly [number, number];
  readonly attrs: Pick<ConvAttrs, 'stride' | 'dilation' | 'padding'>;
  readonly aStrides: { readonly batch: number; readonly row: number; readonly line: number; readonly pixel: number };
  readonly bStrides: { readonly batch: number; readonly channel: number; readonly h: number; readonly w: number };
  readonly flops: number;
}

/** Splits of the contraction: enough workgroups to fill the device, none of them shorter than a few hundred products. */
function chooseSplits(problem: WeightProblem, workgroups: number, software: boolean): number {
  const wanted = Math.ceil((software ? 16 : 256) / workgroups);
  const most = Math.max(1, Math.floor((problem.lines * problem.pixels) / 256));
  return Math.max(1, Math.min(wanted, most, problem.lines));
}

function lowerWeightGradient(problem: WeightProblem, node: Node, context: LoweringContext): Dispatch[] {
  const [weight, bias] = node.outputs as [Tensor, Tensor | undefined];
  const width = problem.columns + (bias === undefined ? 0 : 1);
  const tile = chooseTile({ rows: problem.rows, columns: width, maxRows: 16 }, context.device);
  const grid: [number, number] = [Math.ceil(width / (tile.lanes * tile.columns)), Math.ceil(problem.rows / tile.rows)];
  const linesPerSplit = Math.ceil(problem.lines / chooseSplits(problem, grid[0] * grid[1] * problem.groups, context.device.software));
  const splits = Math.ceil(problem.lines / linesPerSplit);
  const allRows = problem.rows * problem.groups;
  const partial = splits > 1 ? context.scratch(`${weight.name}.partial`, [splits, allRows, width]) : undefined;
  const regions: Record<string, string> = { ...laneRegions(tile, context.device) };
  if (partial !== undefined) {
    regions['bindings'] = '';
    regions['store'] = '  c[p.cBase + split * p.cSplit + row * (p.columns + p.bias) + column] = value;\n';
  } else if (bias === undefined) {
    regions['bindings'] = '';
    regions['store'] = '  c[p.cBase + row * p.columns + column] = value;\n';
  }
  const { attrs, aStrides, bStrides } = problem;
  const product: Dispatch = {
    kernel: 'gemm/weightGradient',
    variant: `${tileName(tile)}${splits > 1 ? ` split${splits}` : ''}`,
    code: link('gemm/weightGradient', { constants: tileConstants(tile), regions }),
    operands: [
      { name: 'a', tensor: problem.g, access: 'read' },
      { name: 'b', tensor: problem.x, access: 'read' },
      { name: 'c', tensor: partial ?? weight, access: 'write' },
      ...(partial === undefined && bias !== undefined ? [{ name: 'biasGradient', tensor: bias, access: 'write' as const }] : []),
    ],
    parameters: words(
      {
        rows: problem.rows,
        columns: problem.columns,
        groups: problem.groups,
        bias: bias === undefined ? 0 : 1,
        lines: problem.lines,
        linesPerSplit,
        linesPerImage: problem.linesPerImage,
        pixels: problem.pixels,
        taps: problem.taps[0] * problem.taps[1],
        tapsW: problem.taps[1],
        sourceH: problem.source[0],
        sourceW: problem.source[1],
        strideH: attrs.stride[0],
        strideW: attrs.stride[1],
        dilationH: attrs.dilation[0],
        dilationW: attrs.dilation[1],
        paddingH: attrs.padding[0],
        paddingW: attrs.padding[1],
        aBase: bindingBase(problem.g),
        aBatch: aStrides.batch,
        aRow: aStrides.row,
        aLine: aStrides.line,
        aPixel: aStrides.pixel,
        bBase: bindingBase(problem.x),
        bBatch: bStrides.batch,
        bChannel: bStrides.channel,
        bH: bStrides.h,
        bW: bStrides.w,
        cBase: partial === undefined ? bindingBase(weight) : 0,
        cSplit: allRows * width,
        biasBase: bias === undefined ? 0 : bindingBase(bias),
        spare: 0,
      },
      ['paddingH', 'paddingW'],
    ),
    workgroups: [grid[0], grid[1], problem.groups * splits],
    flops: problem.flops,
    bytes: 4 * (elementCount(problem.g.shape) + elementCount(problem.x.shape) + (partial === undefined ? 1 : splits) * allRows * width),
  };
  if (partial === undefined) return [product];
  const total = allRows * width;
  const workgroups = Math.ceil(total / 64);
  const wide = Math.min(workgroups, 32768);
  return [
    product,
    {
      kernel: 'gemm/sumSplits',
      variant: bias === undefined ? '' : 'bias',
      code: link('gemm/sumSplits', {
        regions: bias === undefined ? { bindings: '', store: '  c[p.cBase + row * p.columns + column] = sum;\n' } : {},
      }),
      operands: [
        { name: 'partial', tensor: partial, access: 'read' },
        { name: 'c', tensor: weight, access: 'write' },
        ...(bias === undefined ? [] : [{ name: 'biasGradient', tensor: bias, access: 'write' as const }]),
      ],
      parameters: words({
        rows: allRows,
        columns: problem.columns,
        bias: bias === undefined ? 0 : 1,
        splits,
        cBase: bindingBase(weight),
        biasBase: bias === undefined ? 0 : bindingBase(bias),
        stride: wide * 64,
        width,
      }),
      workgroups: [wide, Math.ceil(workgroups / wide), 1],
      flops: splits * total,
      bytes: 4 * (splits + 1) * total,
    },
  ];
}

export const lowerConv2dWeightGradient: Lowering<'conv2dWeightGradient'> = (node, _group, context) => {
  const [g, x] = node.inputs as [Tensor, Tensor];
  const { groups, weightShape } = node.attrs;
  const [outputs, inner, kh, kw] = weightShape as [number, number, number, number];
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const [, , oh, ow] = g.shape as [number, number, number, number];
  const flat = isPointwise(node.attrs, [kh, kw]);
  return lowerWeightGradient(
    {
      g,
      x,
      rows: outputs / groups,
      columns: inner * kh * kw,
      groups,
      lines: flat ? batch : batch * oh,
      linesPerImage: flat ? 1 : oh,
      pixels: flat ? oh * ow : ow,
      taps: [kh, kw],
      source: flat ? [1, height * width] : [height, width],
      attrs: node.attrs,
      aStrides: { batch: outputs * oh * ow, row: oh * ow, line: ow, pixel: 1 },
      bStrides: { batch: channels * height * width, channel: height * width, h: width, w: 1 },
      flops: 2 * elementCount(g.shape) * inner * kh * kw,
    },
    node as unknown as Node,
    context,
  );
};

export const lowerLinearWeightGradient: Lowering<'linearWeightGradient'> = (node, _group, context) => {
  const [g, x] = node.inputs as [Tensor, Tensor];
  const [batch, outputs] = g.shape as [number, number];
  const inputs = x.shape[1]!;
  return lowerWeightGradient(
    {
      g,
      x,
      rows: outputs,
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
      flops: 2 * batch * outputs * inputs,
    },
    node as unknown as Node,
    context,
  );
};
