import type { ConvAttrs } from '../graph/types.js';
import { convBytes } from './convProblem.js';
import type { ConvProblem } from './convProblem.js';
import { words } from './grid.js';
import { link } from '../wgsl/link.js';
import { epilogue } from './pointwise.js';
import { inFours, leftRegion, rightRegion } from './staging.js';
import { laneRegions, shareOf, tileConstants, tileName } from './tiles.js';
import type { Tile } from './tiles.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, KernelDevice, LoweringContext } from './types.js';
import type { WeightProblem } from './weightProblem.js';

/**
 * A product of one channel of a small image: pixel `output` takes pixel `input` under tap `tap` of the window, all
 * counted row by row.
 */
interface Meeting {
  readonly tap: number;
  readonly output: number;
  readonly input: number;
}

/**
 * Most pixels of an image, and most products of its channels' pairs, that an invocation takes as a whole: both are
 * written out.
 */
const mostPixels = 16;
const mostMeetings = 32;

type Size = readonly [number, number];

/**
 * All products of an image, tap by tap; `sourceOf` tells the row or column of the input that an output takes under a
 * tap.
 */
function meetings(
  taps: Size,
  outputs: Size,
  inputs: Size,
  sourceOf: (axis: 0 | 1, output: number, tap: number) => number | undefined,
): Meeting[] {
  const found: Meeting[] = [];
  const along = (axis: 0 | 1, output: number, tap: number): number | undefined => {
    const source = sourceOf(axis, output, tap);
    return source !== undefined && source >= 0 && source < inputs[axis] ? source : undefined;
  };
  for (let tap = 0; tap < taps[0] * taps[1]; tap++) {
    for (let output = 0; output < outputs[0] * outputs[1]; output++) {
      const h = along(0, Math.floor(output / outputs[1]), Math.floor(tap / taps[1]));
      const w = along(1, output % outputs[1], tap % taps[1]);
      if (h !== undefined && w !== undefined) found.push({ tap, output, input: h * inputs[1] + w });
    }
  }
  return found;
}

const isSmall = (...sizes: readonly Size[]): boolean => sizes.every(([height, width]) => height * width <= mostPixels);

function convMeetings({ taps, columns, source, step, tapOrigin, tapStep, phases }: ConvProblem): Meeting[] {
  return meetings(taps, columns, source, (axis, output, tap) => {
    const at = tapOrigin[axis] + (output % phases[axis]) + tap * tapStep[axis];
    return at % phases[axis] === 0 ? Math.floor(output / phases[axis]) * step[axis] + at / phases[axis] : undefined;
  });
}

function weightMeetings({ taps, linesPerImage, pixels, source, attrs }: WeightProblem): Meeting[] {
  const { stride, dilation, padding }: Pick<ConvAttrs, 'stride' | 'dilation' | 'padding'> = attrs;
  return meetings(
    taps,
    [linesPerImage, pixels],
    source,
    (axis, output, tap) => output * stride[axis] + tap * dilation[axis] - padding[axis],
  );
}

/**
 * On the CPU only: a GPU has few images to give to its lanes there, and stages operands through workgroup memory
 * instead.
 */
const suitsDevice = (device: KernelDevice): boolean => device.software && device.plainCompiler !== true;

/** Whether gemm/convImages can run a problem: images of a few pixels, each channel of which lies in one piece. */
export function suitsImages(problem: ConvProblem, device: KernelDevice): boolean {
  const { taps, columns, source, bStrides, cStrides, phases, step } = problem;
  if (!suitsDevice(device) || !isSmall(columns, source)) return false;
  if (problem.accumulate === true || (problem.rowStart ?? 0) !== 0 || (problem.bStart ?? 0) !== 0) return false;
  if (bStrides.w !== 1 || bStrides.h !== source[1] || cStrides.w !== 1 || cStrides.row !== columns[0] * columns[1])
    return false;
  // one tap and stride 1 is a plain product
  if (taps[0] * taps[1] * step[0] * step[1] * phases[0] * phases[1] === 1) return false;
  const { length } = convMeetings(problem);
  return length > 0 && length <= mostMeetings;
}

/** The same for gemm/weightGradientImages. A bias needs a tap that meets an input under every pixel. */
export function suitsWeightImages(problem: WeightProblem, bias: boolean, device: KernelDevice): boolean {
  const { taps, linesPerImage, pixels, source, aStrides, bStrides } = problem;
  if (!suitsDevice(device) || !isSmall([linesPerImage, pixels], source) || aStrides.batch === 0) return false;
  if (aStrides.pixel !== 1 || aStrides.line !== pixels || bStrides.w !== 1 || bStrides.h !== source[1]) return false;
  const found = weightMeetings(problem);
  if (taps[0] * taps[1] === 1 || taps[0] * taps[1] > mostPixels) return false;
  return (
    found.length > 0 && found.length <= mostMeetings && (!bias || biasTap(found, linesPerImage * pixels) !== undefined)
  );
}

/** The first tap that meets an input under every pixel. */
const biasTap = (found: readonly Meeting[], pixels: number): number | undefined =>
  [...new Set(found.map(({ tap }) => tap))].find((tap) => found.filter((each) => each.tap === tap).length === pixels);

const imagesTile = (rows: number, columns: number, device: KernelDevice): Tile => ({
  rows,
  columns,
  lanes: 8,
  share: shareOf(device),
});

/** Tiles of all outputs of an image, or of all taps, by 16 rows. */
export const convImagesTile = ({ columns }: ConvProblem, device: KernelDevice): Tile =>
  imagesTile(16, columns[0] * columns[1], device);
export const weightImagesTile = ({ taps }: WeightProblem, device: KernelDevice): Tile =>
  imagesTile(16, taps[0] * taps[1], device);

/**
 * Text that loads the numbers `wanted` of those that begin at `from` into an array: in fours where three of four are
 * wanted.
 */
function loads(wanted: ReadonlySet<number>, fours: boolean, array: string, read: string, from: string): string {
  const lines: string[] = [];
  for (let four = 0; four < mostPixels; four += 4) {
    const some = [0, 1, 2, 3].map((part) => four + part).filter((at) => wanted.has(at));
    if (fours && some.length > 2) {
      lines.push(`let ${read}${four} = ${read}Four(${from} + ${four}u);`);
      lines.push(...some.map((at) => `${array}[${at}] = ${read}${four}[${at - four}];`));
    } else {
      lines.push(...some.map((at) => `${array}[${at}] = ${read}One(${from} + ${at}u);`));
    }
  }
  return `    ${lines.join('\n    ')}\n`;
}

/**
 * Statements, `by` of each meeting a group that shares the broadcast of a loaded number, in the order in which the
 * numbers come.
 */
function products(
  found: readonly Meeting[],
  by: (meeting: Meeting) => number,
  sumOf: (meeting: Meeting) => number,
): string {
  const lines: string[] = [];
  for (const shared of [...new Set(found.map(by))].sort((left, right) => left - right)) {
    lines.push(`let value${shared} = broadcast(left[g][${shared}], lane, i);`);
    for (const meeting of found) {
      if (by(meeting) === shared)
        lines.push(`acc[g * SG + i][${sumOf(meeting)}] += value${shared} * right[${meeting.input}];`);
    }
  }
  return `        ${lines.join('\n        ')}\n`;
}

/** One dispatch of gemm/convImages. */
export function lowerConvImages(
  problem: ConvProblem,
  choice: Tile,
  group: Group,
  context: LoweringContext,
): Dispatch[] {
  const { aStrides, bStrides, cStrides, taps, columns, source, rows, batch } = problem;
  const found = convMeetings(problem);
  const pixels = columns[0] * columns[1];
  const tile = { ...choice, columns: pixels };
  const used = [...new Set(found.map(({ tap }) => tap))];
  const inVectors = inFours(
    source[0] * source[1],
    bindingBase(problem.b),
    bStrides.batch,
    bStrides.inner,
    bStrides.group,
  );
  const single = epilogue(group, context, 4, problem.bias, pixels);
  const fours = single.fits && inFours(pixels, bindingBase(single.output), cStrides.batch);
  const tail = fours ? epilogue(group, context, 4, problem.bias, pixels / 4, true) : single;
  const weights = used.map((tap, place) => {
    const offset = Math.floor(tap / taps[1]) * aStrides.tapH + (tap % taps[1]) * aStrides.tapW;
    return `      left[g][${place}] = a[weight + ${offset}u];\n`;
  });
  return [
    {
      kernel: 'gemm/convImages',
      variant: [`${tileName(tile)} ${source.join('x')} ${used.length} taps${inVectors ? ' vec4' : ''}`, tail.variant]
        .filter((part) => part !== '')
        .join(' '),
      code: link('gemm/convImages', {
        // Mesa's compiler gives up on loops as long as these
        unroll: 'all',
        constants: {
          ...tileConstants(tile, context.device),
          TAPS: used.length,
          INPUTS: source[0] * source[1],
          WHOLE: rows % tile.rows === 0,
        },
        regions: {
          ...tail.regions,
          ...laneRegions(tile, context.device),
          ...rightRegion(inVectors),
          inputs: loads(new Set(found.map(({ input }) => input)), inVectors, 'right', 'right', 'first'),
          weights: weights.join(''),
          products: products(
            found,
            ({ tap }) => used.indexOf(tap),
            ({ output }) => output,
          ),
        },
      }),
      operands: [
        { name: 'a', tensor: problem.a, access: 'read' },
        { name: 'b', tensor: problem.b, access: 'read' },
        { name: 'c', tensor: tail.output, access: 'write' },
        ...tail.operands,
      ],
      parameters: [
        ...words({
          rows,
          batch,
          inner: problem.inner,
          aRow: aStrides.row,
          aInner: aStrides.inner,
          aGroup: aStrides.group,
          aBase: bindingBase(problem.a),
          bBatch: bStrides.batch,
          bInner: bStrides.inner,
          bGroup: bStrides.group,
          bBase: bindingBase(problem.b),
          cBase: bindingBase(tail.output),
          cBatch: cStrides.batch,
          tileColumns: tile.columns,
          tileRows: tile.rows,
        }),
        ...tail.parameters,
      ],
      workgroups: [Math.ceil(batch / tile.lanes), Math.ceil(rows / tile.rows), problem.groups],
      flops: problem.flops + tail.flops,
      bytes: convBytes(problem, tail.output) + tail.bytes,
    },
  ];
}

/** The name, constants and regions of gemm/weightGradientImages. */
export function weightImagesForm(choice: Tile, problem: WeightProblem, device: KernelDevice) {
  const { g, x, taps, source, linesPerImage, pixels, aStrides, bStrides, aStart } = problem;
  const tile = { ...choice, columns: taps[0] * taps[1] };
  const found = weightMeetings(problem);
  const plane = linesPerImage * pixels;
  const inVectors = inFours(source[0] * source[1], bindingBase(x), bStrides.batch, bStrides.channel);
  const leftVectors = inFours(plane, bindingBase(g) + aStart, aStrides.batch, aStrides.row);
  return {
    name: `${tileName(tile)} ${source.join('x')}${leftVectors || inVectors ? ' vec4' : ''}`,
    constants: {
      ...tileConstants(tile, device),
      PIXELS: plane,
      INPUTS: source[0] * source[1],
      BIAS_TAP: biasTap(found, plane) ?? 0,
    },
    regions: {
      ...laneRegions(tile, device),
      ...leftRegion(leftVectors),
      ...rightRegion(inVectors),
      inputs: loads(new Set(found.map(({ input }) => input)), inVectors, 'right', 'right', 'first'),
      gradients: loads(new Set(found.map(({ output }) => output)), leftVectors, 'left[g]', 'left', 'gradient'),
      products: products(
        found,
        ({ output }) => output,
        ({ tap }) => tap,
      ),
    },
  };
}
