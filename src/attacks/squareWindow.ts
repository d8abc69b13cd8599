import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';
import { orNaN } from './numbers.js';
import type { StageContext } from './stages.js';

/* What the two norms of Square share: windows, and what becomes of a proposal. */

/** Where a pixel is: element i of a sample is pixel (row, column) of a channel. */
export interface Geometry {
  readonly stage: StageContext;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** [N, C, H, W]: the number of the element within its sample. */
  readonly place: Tensor;
}

export const windowPrelude = (rows: string, columns: string, name: string): string => `
  let ${name}Top = floor(${rows} * (height - side));
  let ${name}Left = floor(${columns} * (width - side));
  let ${name} = row >= ${name}Top && row < ${name}Top + side && column >= ${name}Left && column < ${name}Left + side;`;

export const placePrelude = `  let channel = floor(place / (height * width));
  let inChannel = place - channel * height * width;
  let row = floor(inChannel / width);
  let column = inChannel - row * width;`;

/** Channel, row and column of an element of a sample. */
export function at(place: number, height: number, width: number): { channel: number; row: number; column: number } {
  const channel = Math.floor(place / (height * width));
  const rest = place - channel * height * width;
  return { channel, row: Math.floor(rest / width), column: rest % width };
}

/** Whether a pixel lies in the window that two uniform numbers place in an image. */
export const inside = (
  row: number,
  column: number,
  u: number,
  v: number,
  height: number,
  width: number,
  side: number,
): boolean => {
  const [top, left] = [Math.floor(u * (height - side)), Math.floor(v * (width - side))];
  return row >= top && row < top + side && column >= left && column < left + side;
};

/**
 * What is accepted: a smaller lead of the label, or any image that fools. A lead that is not finite makes the image
 * NaN: else what the network cannot judge would pass for what does not fool it.
 */
const accept: ElementwiseFunction = {
  name: 'accept',
  inputs: ['lead', 'queries', 'fooled', 'margin'],
  scalars: ['direction', 'start'],
  prelude: `  let own = -direction * margin;
  let live = fooled < 0.5;
  let better = live && (start > 0.5 || own < lead || own <= 0.0);`,
  results: [
    'orNaN(select(lead, own, better), own)',
    'queries + select(0.0, 1.0, live)',
    'select(fooled, 1.0, live && own <= 0.0)',
    'orNaN(select(0.0, 1.0, better), own + lead)',
  ],
  reference: (lead, queries, fooled, margin, direction, start) => {
    const own = -direction! * margin!;
    const live = fooled! < 0.5;
    const better = live && (start! > 0.5 || own < lead! || own <= 0);
    return [
      orNaN(better ? own : lead!, own),
      queries! + Number(live),
      live && own <= 0 ? 1 : fooled!,
      orNaN(Number(better), own + lead!),
    ];
  },
};

const keepBetter: ElementwiseFunction = {
  name: 'keepProposal',
  inputs: ['best', 'x', 'better'],
  scalars: [],
  results: ['orNaN(select(best, x, better > 0.5), better)'],
  reference: (best, x, better) => [orNaN(better! > 0.5 ? x! : best!, better!)],
};

export const draws = 8;
/** The counter of the k-th number that a query draws. */
export const draw = (k: number): StepValue => ({ step: `draw${k}` as string });

/** Copies a value of each of N x C x 1 rows over the rows below it, or a value of each sample over its channels. */
export function spread(
  stage: StageContext,
  small: Tensor,
  matrix: readonly (readonly number[])[],
  axis: 'rows' | 'columns',
): Tensor {
  const { graph } = stage;
  const shape = [1, matrix.length, matrix[0]!.length];
  const constant = graph.constant(`spread ${axis} ${matrix.length} ${matrix[0]!.length}`, matrix.flat(), shape);
  return graph.one('axisMap', [small, constant], { axis, transposed: false });
}

/** Judges a proposal by the network and keeps it where it is accepted. */
export function judge(stage: StageContext, iterate: Tensor, proposal: Tensor, start: number): void {
  const { graph } = stage;
  const samples = [iterate.shape[0]!];
  const { logits } = stage.forward(proposal);
  const margin = graph.one('loss', [logits, stage.aims], { kind: 'margin' });
  const states = [stage.state('lead', samples), stage.state('queries', samples), stage.state('fooled', samples)];
  const [better] = graph.add('map', [...states, margin], {
    fn: accept,
    scalars: [stage.direction, start],
    targets: [0, 1, 2, 'new'],
  });
  graph.add('map', [iterate, proposal, better!], { fn: keepBetter, scalars: [], targets: [0] });
}

/** The geometry of the images that an attack has. */
export function geometryOf(stage: StageContext): Geometry {
  const [batch, channels, height, width] = stage.clean.shape as [number, number, number, number];
  const size = channels * height * width;
  const numbers = Array.from({ length: batch * size }, (_, i) => i % size);
  return { stage, height, width, channels, place: stage.graph.constant('place', numbers, stage.clean.shape) };
}
