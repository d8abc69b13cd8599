import { elementCount } from '../graph/types.js';
import { cropFlipOf } from '../random/cropFlip.js';
import { normalPair, randomBits, uniform01 } from '../random/philox.js';
import { resizePadOf, shownPlace } from '../random/resizePad.js';
import { stepValue } from './types.js';
import type { Reference } from './types.js';

export const random: Reference<'random'> = (node, [sampleIds], context) => {
  const { shape, distribution, stream } = node.attrs;
  const [seed, step] = [stepValue(node.attrs.seed, context), stepValue(node.attrs.step, context)];
  const size = elementCount(shape.slice(1));
  const values = new Float64Array(elementCount(shape));
  sampleIds!.forEach((sampleId: number, n: number) => {
    // Normals come in pairs, so an odd sample draws one word more than it keeps.
    const bits = randomBits(seed, stream, sampleId, step, size + (size % 2));
    for (let i = 0; i < size; i++) {
      values[n * size + i] =
        distribution === 'uniform'
          ? uniform01(bits[i]!)
          : normalPair(bits[i - (i % 2)]!, bits[i - (i % 2) + 1]!)[i % 2]!;
    }
  });
  return [values];
};

export const gatherImages: Reference<'gatherImages'> = (node, [data, indices], context) => {
  const { count, sampleShape, packed } = node.attrs;
  const start = stepValue(node.attrs.start, context);
  const size = elementCount(sampleShape);
  const byte = (i: number): number => (data![i >>> 2]! >>> (8 * (i & 3))) & 255;
  return [
    Float64Array.from({ length: count * size }, (_, i) => {
      const source = indices![start + Math.floor(i / size)]! * size + (i % size);
      return packed ? byte(source) / 255 : data![source]!;
    }),
  ];
};

export const randomCropFlip: Reference<'randomCropFlip'> = (node, [x, sampleIds], context) => {
  const { padding, flip, stream } = node.attrs;
  const [seed, step] = [stepValue(node.attrs.seed, context), stepValue(node.attrs.step, context)];
  const [, channels, height, width] = node.inputs[0]!.shape as [number, number, number, number];
  const y = new Float64Array(x!.length);
  sampleIds!.forEach((sampleId: number, n: number) => {
    const { down, right, mirrored } = cropFlipOf(seed, stream, sampleId, step, padding);
    for (let c = 0; c < channels; c++) {
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++) {
          const [h, w] = [row + down, (flip && mirrored ? width - 1 - column : column) + right];
          const plane = (n * channels + c) * height;
          if (h >= 0 && h < height && w >= 0 && w < width)
            y[(plane + row) * width + column] = x![(plane + h) * width + w]!;
        }
      }
    }
  });
  return [y];
};

export const randomResizePad: Reference<'randomResizePad'> = (node, [x, sampleIds], context) => {
  const { largest, probability, transposed, stream } = node.attrs;
  const [seed, step] = [stepValue(node.attrs.seed, context), stepValue(node.attrs.step, context)];
  const [, channels, height, width] = node.inputs[0]!.shape as [number, number, number, number];
  const y = new Float64Array(x!.length);
  sampleIds!.forEach((sampleId: number, n: number) => {
    const [rows, columns] = ([height, width] as const).map((size, axis) => {
      const most = largest[axis]!;
      const drawn = resizePadOf(seed, stream, sampleId, step, { size, largest: most, probability });
      const offset = axis === 0 ? drawn.down : drawn.right;
      return (place: number) => (drawn.applied ? shownPlace(place, offset, drawn.side, size, most) : place);
    }) as [(place: number) => number, (place: number) => number];
    for (let plane = n * channels; plane < (n + 1) * channels; plane++) {
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++) {
          const [h, w] = [rows(row), columns(column)];
          if (h < 0 || w < 0) continue;
          const [result, source] = [(plane * height + row) * width + column, (plane * height + h) * width + w];
          if (transposed) y[source]! += x![result]!;
          else y[result] = x![source]!;
        }
      }
    }
  });
  return [y];
};

export const gatherLabels: Reference<'gatherLabels'> = (node, [labels, indices], context) => {
  const start = stepValue(node.attrs.start, context);
  return [Uint32Array.from({ length: node.attrs.count }, (_, i) => labels![indices![start + i]!]!)];
};
