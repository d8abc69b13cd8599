import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, StepValue } from '../graph/types.js';
import { map, radiusOf, samplesOf, sum } from './transformParts.js';
import type { Sampling, StageContext } from './stages.js';

const towards: ElementwiseFunction = {
  name: 'towards',
  inputs: ['x', 'u', 'last'],
  scalars: ['reach', 'inner', 'radius', 'direction'],
  results: ['x + ((2.0 * u - 1.0) * reach + direction * inner * last) * radius'],
  reference: (x, u, last, reach, inner, radius, direction) => [
    x! + ((2 * u! - 1) * reach! + direction! * inner! * last!) * radius!,
  ],
};

const inverted: ElementwiseFunction = {
  name: 'inverted',
  inputs: ['last', 'g', 'total'],
  scalars: ['pixels', 'decay'],
  // What is added to the sample's row to make it g / mean|g| - decay * last.
  results: ['select(0.0, g / (total / pixels), total > 0.0) - (decay + 1.0) * last'],
  reference: (last, g, total, pixels, decay) => [(total! > 0 ? g! / (total! / pixels!) : 0) - (decay! + 1) * last!],
};

const isSample: ElementwiseFunction = {
  name: 'isSample',
  inputs: ['slot'],
  scalars: ['sample'],
  results: ['select(0.0, 1.0, slot == sample)'],
  reference: (slot, sample) => [Number(slot === sample)],
};

/** A row of [N, 1, samples, pixels]: that of the sample, and where it is. */
function rowOf(stage: StageContext, sample: StepValue, shape: readonly number[]) {
  const { graph, parameters } = stage;
  const samples = parameters['samples']!;
  const rows = stage.memory('inversions', [shape[0]!, 1, samples, elementCount(shape.slice(1))]);
  const slots = graph.constant(
    'slots',
    Array.from({ length: samples }, (_, k) => k),
    [1, 1, samples],
  );
  const place = map(stage, isSample, [slots], [sample]);
  const last = graph.one('axisMap', [rows, place], { axis: 'rows', transposed: false });
  return { rows, place, last: graph.one('reshape', [last], { shape: [...shape] }) };
}

/**
 * MEF: flat maxima by the worst of the neighbors, each of which goes on along its own last gradients, turned round (Z.
 * Qiu et al., "Boosting adversarial transferability with low-cost optimization via maximin expected flatness", 2024).
 * Its authors use 20 steps and decay 0.5.
 */
export const mef: Sampling = {
  base: false,
  count: ({ samples }) => samples!,
  points: [
    (stage, x, sample) => {
      const { reach, inner } = stage.parameters;
      const { last } = rowOf(stage, sample, x.shape);
      const u = stage.random(x.shape, 'uniform', stage.query);
      return map(stage, towards, [x, u, last], [reach!, inner!, stage.radius, stage.direction]);
    },
  ],
  collect(stage, [gradient]) {
    const { graph, parameters } = stage;
    const g = gradient!;
    const { rows, place, last } = rowOf(stage, { step: 'sample' }, g.shape);
    const total = graph.one('sampleNorm', [g], { norm: 'l1' });
    const pixels = elementCount(g.shape.slice(1));
    const change = map(stage, inverted, [last, g, total], [pixels, parameters['innerDecay']!]);
    const row = graph.one('reshape', [change], { shape: [g.shape[0]!, 1, 1, pixels] });
    const spread = graph.one('axisMap', [row, place], { axis: 'rows', transposed: true });
    graph.add('map', [rows, spread], { fn: sum, scalars: [], targets: [0] });
    return g;
  },
  combine: (_stage, { mean }) => mean,
  parameters: {
    samples: samplesOf(20),
    reach: radiusOf(2),
    inner: { ...radiusOf(0.15), help: 'step along the last gradients, in units of eps' },
    innerDecay: { byDefault: 0.9, least: 0, most: 1, help: 'factor of the gradients before, subtracted' },
  },
};
