import type { Reference, ReferenceArray } from './types.js';

type Four = [number, number, number, number];

export const axisMap: Reference<'axisMap'> = (node, [x, matrix]) => {
  const { axis, transposed } = node.attrs;
  const [batch, channels, height, width] = node.outputs[0]!.shape as Four;
  const [, , inHeight, inWidth] = node.inputs[0]!.shape as Four;
  const rows = axis === 'rows';
  const step = rows ? inWidth : 1;
  const [samples, a, b] = node.inputs[1]!.shape as [number, number, number];
  const y = new Float64Array(batch * channels * height * width);
  const entry = (n: number, to: number, from: number): number =>
    matrix![(samples === 1 ? 0 : n) * a * b + (transposed ? from * b + to : to * b + from)]!;
  let at = 0;
  for (let plane = 0; plane < batch * channels; plane++) {
    const n = Math.floor(plane / channels);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at++) {
        const [to, length] = rows ? [row, inHeight] : [column, inWidth];
        const first = rows ? plane * inHeight * inWidth + column : (plane * inHeight + row) * inWidth;
        for (let k = 0; k < length; k++) y[at]! += entry(n, to, k) * x![first + k * step]!;
      }
    }
  }
  return [y];
};

/** Pixels of an axis that a place reads, and their weights. */
function taps(at: number, low: number, high: number, mode: 'nearest' | 'bilinear'): [number, number][] {
  // A place that is no number has no pixel, and is none beside the image either.
  if (!Number.isFinite(at)) return [[0, NaN]];
  const below = Math.floor(at);
  const all: [number, number][] =
    mode === 'nearest'
      ? [[Math.floor(at + 0.5), 1]]
      : [
          [below, 1 - (at - below)],
          [below + 1, at - below],
        ];
  return all.filter(([pixel, weight]) => pixel >= low && pixel < high && weight !== 0);
}

export const gridSample: Reference<'gridSample'> = (node, [x, grid]) => {
  const { mode, transposed, size } = node.attrs;
  const [batch, channels] = node.inputs[0]!.shape as Four;
  const [, planes, gridHeight, gridWidth] = node.inputs[1]!.shape as Four;
  const [height, width] = transposed ? size : (node.inputs[0]!.shape.slice(2) as [number, number]);
  const places = gridHeight * gridWidth;
  const y: ReferenceArray = new Float64Array(batch * channels * (transposed ? height * width : places));
  const add = (pixel: number, at: number, weight: number): void => {
    if (transposed) y[pixel]! += weight * x![at]!;
    else y[at]! += weight * x![pixel]!;
  };
  for (let n = 0; n < batch; n++) {
    for (let place = 0; place < places; place++) {
      const field = (channel: number): number => grid![(n * planes + channel) * places + place]!;
      const bounded = planes === 6;
      const rows = taps(
        field(0),
        bounded ? Math.max(0, field(2)) : 0,
        bounded ? Math.min(height, field(3)) : height,
        mode,
      );
      const columns = taps(
        field(1),
        bounded ? Math.max(0, field(4)) : 0,
        bounded ? Math.min(width, field(5)) : width,
        mode,
      );
      const all = rows.flatMap(([row, rowWeight]) =>
        columns.map(([column, weight]) => [row * width + column, rowWeight * weight] as const),
      );
      for (let plane = n * channels; plane < (n + 1) * channels; plane++)
        for (const [pixel, weight] of all) add(plane * height * width + pixel, plane * places + place, weight);
    }
  }
  return [y];
};
