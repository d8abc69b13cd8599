import type { ConvAttrs } from '../../graph/types.js';
import type { KernelDevice } from '../device.js';
import type { Tile } from '../problem.js';
import { unfitTile } from '../registerTiles.js';
import { inFours, leftRegion, rightRegion } from '../staging.js';
import { laneRegions, tileConstants, tileName } from '../tiles.js';
import { bindingBase } from '../types.js';
import type { WeightProblem } from '../weightProblem.js';
import { weightStrategy } from '../weightStrategy.js';
import type { WeightForm } from '../weightStrategy.js';
import {
  imagesTile,
  imagesTiles,
  isSmall,
  loads,
  meetings,
  mostMeetings,
  mostPixels,
  products,
  suitsDevice,
} from './smallImages.js';
import type { Meeting } from './smallImages.js';

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
 * Whether images are so small that all their products can be unrolled, each channel in one piece. A bias needs a tap
 * that meets an input under every pixel.
 */
function suitsWeightImages(problem: WeightProblem, bias: boolean, device: KernelDevice): boolean {
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

/** The name, constants and regions of software/weightGradientImages. */
function weightImagesForm(choice: Tile, problem: WeightProblem, device: KernelDevice): WeightForm {
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

/** All taps of a small image. */
export const weightGradientImages = weightStrategy({
  name: 'software/weightGradientImages',
  operands: 'registers',
  unrolls: false,
  writtenOut: true,
  wholeImages: true,
  suits: suitsWeightImages,
  usualTile: ({ taps }, _width, device) => imagesTile(taps[0] * taps[1], device),
  owners: ({ columns, taps }, _tile, width) => columns / (taps[0] * taps[1]) + width - columns,
  unfit: (choice, problem, device) => unfitTile(choice, problem, device),
  candidates: imagesTiles,
  form: (tile, slice, _how, device) => weightImagesForm(tile, slice, device),
});
