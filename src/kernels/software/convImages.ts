import { link } from '../../wgsl/link.js';
import { convBytes } from '../convProblem.js';
import type { ConvProblem } from '../convProblem.js';
import type { KernelDevice } from '../device.js';
import { words } from '../grid.js';
import { epilogue } from '../pointwise.js';
import type { Tile } from '../problem.js';
import { unfitTile } from '../registerTiles.js';
import { inFours, rightRegion } from '../staging.js';
import type { ProductStrategy } from '../strategy.js';
import { laneRegions, tileConstants, tileName } from '../tiles.js';
import { bindingBase } from '../types.js';
import type { Dispatch, Group, LoweringContext } from '../types.js';
import {
  imagesTile,
  imagesTiles,
  isSmall,
  loads,
  meetings,
  mostMeetings,
  products,
  suitsDevice,
} from './smallImages.js';
import type { Meeting } from './smallImages.js';

function convMeetings({ taps, columns, source, step, tapOrigin, tapStep, phases }: ConvProblem): Meeting[] {
  return meetings(taps, columns, source, (axis, output, tap) => {
    const at = tapOrigin[axis] + (output % phases[axis]) + tap * tapStep[axis];
    return at % phases[axis] === 0 ? Math.floor(output / phases[axis]) * step[axis] + at / phases[axis] : undefined;
  });
}

/** Whether software/convImages can run a problem: images of a few pixels, each channel of which lies in one piece. */
function suitsImages(problem: ConvProblem, device: KernelDevice): boolean {
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

/** One dispatch of software/convImages. */
// eslint-disable-next-line max-lines-per-function -- mostly the table of what the kernel is told
function lowerConvImages(problem: ConvProblem, choice: Tile, group: Group, context: LoweringContext): Dispatch[] {
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
  const single = epilogue(group, 4, problem.bias, pixels);
  const fours = single.fits && inFours(pixels, bindingBase(single.output), cStrides.batch);
  const tail = fours ? epilogue(group, 4, problem.bias, pixels / 4, true) : single;
  const weights = used.map((tap, place) => {
    const offset = Math.floor(tap / taps[1]) * aStrides.tapH + (tap % taps[1]) * aStrides.tapW;
    return `      left[g][${place}] = a[weight + ${offset}u];\n`;
  });
  return [
    {
      kernel: 'software/convImages',
      variant: [`${tileName(tile)} ${source.join('x')} ${used.length} taps${inVectors ? ' vec4' : ''}`, tail.variant]
        .filter((part) => part !== '')
        .join(' '),
      code: link('software/convImages', {
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

/** Images of a few pixels as a whole: an invocation owns all outputs, so taps outside the image cost nothing. */
export const convImages: ProductStrategy<ConvProblem> = {
  name: 'software/convImages',
  order: 'images',
  operands: 'registers',
  unrolls: false,
  suits: suitsImages,
  usual: ({ columns }, _tuning, device) => [
    { kernel: 'software/convImages', ...imagesTile(columns[0] * columns[1], device) },
  ],
  unfit: (choice, problem, device) => unfitTile(choice, problem, device),
  candidates: imagesTiles,
  lower: lowerConvImages,
};
