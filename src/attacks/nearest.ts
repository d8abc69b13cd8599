import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';
import { orNaN } from './numbers.js';
import { map } from './transformParts.js';
import type { ObjectiveStage, StageContext } from './stages.js';

/*
 * What attacks that look for the smallest perturbation share: the nearest image that fools, how far it is, and the lead
 * of the label over the other classes (of another class over the target), by which success is judged. A distance or a
 * lead that is not finite makes the nearest distance NaN for good, and so the result: else an image that the network
 * cannot judge would pass for one that nothing fools.
 */

/** Farther than any image. */
export const nowhere = 1e10;

const farther: ElementwiseFunction = {
  name: 'nearestSoFar',
  inputs: ['nearest', 'distance', 'lead'],
  scalars: ['most'],
  prelude: '  let closer = lead < most && distance < nearest;',
  results: ['orNaN(select(nearest, distance, closer), lead + distance)', 'select(0.0, 1.0, closer)'],
  reference: (nearest, distance, lead, most) => {
    const closer = lead! < most! && distance! < nearest!;
    return [orNaN(closer ? distance! : nearest!, lead! + distance!), Number(closer)];
  },
};

const takeIf: ElementwiseFunction = {
  name: 'takeIfNearest',
  inputs: ['kept', 'x', 'take'],
  scalars: [],
  results: ['select(kept, x, take > 0.5)'],
  reference: (kept, x, take) => [take! > 0.5 ? x! : kept!],
};

const within: ElementwiseFunction = {
  name: 'withinRadius',
  inputs: ['clean', 'found', 'nearest', 'length'],
  scalars: ['radius'],
  results: [`orNaN(select(clean, found, nearest < ${nowhere}.0 && length <= radius), nearest)`],
  reference: (clean, found, nearest, length, radius) => [
    orNaN(nearest! < nowhere && length! <= radius! ? found! : clean!, nearest!),
  ],
};

const minus: ElementwiseFunction = {
  name: 'awayFromClean',
  inputs: ['x', 'clean'],
  scalars: [],
  results: ['x - clean'],
  reference: (x, clean) => [x! - clean!],
};

const signed: ElementwiseFunction = {
  name: 'lead',
  inputs: ['margin'],
  scalars: ['direction'],
  results: ['-direction * margin'],
  reference: (margin, direction) => [-direction! * margin!],
};

/** The margin as objective, whatever the attack's loss: z of the largest other class minus z of the label or target. */
export const marginObjective: ObjectiveStage = ({ graph }, logits, aims) =>
  graph.one('loss', [logits, aims], { kind: 'margin' });

/** x - clean */
export const perturbation = (stage: StageContext, x: Tensor): Tensor => map(stage, minus, [x, stage.clean]);

/** How far the attack is from success at logits or a margin, [N]: below 0 it has succeeded. */
export const leadOf = (stage: StageContext, margin: Tensor): Tensor => map(stage, signed, [margin], [stage.direction]);

/** Keeps `x`, at a distance [N], where it fools with a lead below `most` and is nearer than all before it. */
export function keepNearest(stage: StageContext, x: Tensor, distance: Tensor, lead: Tensor, most: StepValue = 0): void {
  const { graph, clean } = stage;
  const nearest = stage.state('distance', [clean.shape[0]!], nowhere);
  const scalars = [most];
  const [closer] = graph.add('map', [nearest, distance, lead], { fn: farther, scalars, targets: [0, 'new'] });
  const found = stage.state('found', clean.shape);
  graph.add('map', [found, x, closer!], { fn: takeIf, scalars: [], targets: [0] });
}

/**
 * The last segment: the nearest image found becomes the result where it lies inside the radius, else the clean image.
 */
export function endAtNearest(stage: StageContext, iterate: Tensor): void {
  stage.segment('end', () => {
    const { graph, norm, clean, radius } = stage;
    const found = stage.state('found', clean.shape);
    const nearest = stage.state('distance', [clean.shape[0]!], nowhere);
    const length = graph.one('sampleNorm', [perturbation(stage, found)], { norm });
    graph.add('assign', [map(stage, within, [clean, found, nearest, length], [radius]), iterate], {});
  });
}
