import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';
import type { AttackSettings } from './options.js';
import { copiesOf, isPrepared, isSingle, queriesIterate } from './schedule.js';
import { randomStreams } from '../random/philox.js';
import { elementwiseMap, steepestStep } from './stages.js';
import type { Draw, Gradient, StageContext } from './stages.js';

/** What the segments of gradient steps share with the rest of the graph. */
export interface StepParts {
  readonly iterate: Tensor;
  readonly cleanLogits: Tensor;
  /** Sets all memories to zero. */
  readonly reset: () => void;
}

/** sum + factor * x. */
export const addScaled: ElementwiseFunction = {
  name: 'addScaled',
  inputs: ['sum', 'x'],
  scalars: ['factor'],
  results: ['sum + factor * x'],
  reference: (sum, x, factor) => [sum! + factor! * x!],
};

const scaled: ElementwiseFunction = {
  name: 'scaled',
  inputs: ['x'],
  scalars: ['factor'],
  results: ['factor * x'],
  reference: (x, factor) => [factor! * x!],
};

/**
 * Segments of attacks that go step by step along gradients.
 *
 * - `aim`: the class of the row's rank becomes the target (attacks that rank targets)
 * - `start`: the first iterate of a restart, memories cleared; `again`: restarts at the best point so far
 * - `step`: gradient, momentum, step and projection, where a step has one gradient
 *
 * Where a step has several, each gradient is the mean over the copies of the transforms, all from the one network in
 * `copy`:
 *
 * - `look`: the point of the step; `base`: keeps its gradient
 * - `sample0`, `sample1`: the points of a sample; `collect`: adds what the sample gives
 * - `move`: the step's gradient, momentum, step and projection
 */
export function buildSteps(stage: StageContext, settings: AttackSettings, parts: StepParts): void {
  const { graph, segment } = stage;
  const { definition } = settings;
  const { iterate, cleanLogits, reset } = parts;
  if (definition.rankedTargets !== undefined)
    segment('aim', () => {
      const target = graph.one('classAtRank', [cleanLogits, stage.labels], { rank: { step: 'rank' } });
      graph.add('assign', [target, stage.targets!], {});
    });
  if (isSingle(settings)) buildSingle(stage, settings, iterate);
  else buildSampled(stage, settings, iterate);
  segment('start', () => {
    reset();
    const point = settings.randomStart ? definition.start.random(stage) : definition.start.fixed(stage);
    graph.add('assign', [definition.projection(stage, point), iterate], {});
  });
  if (settings.shrinkRadius)
    segment('again', () => {
      graph.add('assign', [definition.projection(stage, stage.memory('bestPoint', iterate.shape)), iterate], {});
      reset();
    });
}

/** The objective at a point that the gradient is not taken at costs a forward pass of its own. */
function observeIterate(stage: StageContext, settings: AttackSettings, iterate: Tensor): void {
  const { logits } = stage.forward(iterate);
  stage.observe(iterate, logits, settings.definition.objective(stage, logits, stage.aims));
}

function buildSingle(stage: StageContext, settings: AttackSettings, iterate: Tensor): void {
  stage.segment('step', () => {
    const query = transformed(stage, settings, iterate);
    const found = stage.gradientAt(query.result, query.target);
    if (query.result === iterate) stage.observe(iterate, found.logits, found.loss);
    else if (settings.keep === 'best') observeIterate(stage, settings, iterate);
    move(stage, settings, iterate, found.gradient, found.loss);
  });
}

/** Random numbers of the transform at a place of the list. */
function drawOf(stage: StageContext, index: number): Draw {
  const key = { stream: randomStreams.transforms + 8 * index, step: { step: `pick${index}` } };
  return Object.assign<Draw, Pick<Draw, 'key'>>(
    (shape, distribution = 'uniform', which = 0) => stage.random(shape, distribution, key.step, key.stream + which),
    { key },
  );
}

function transformed(
  stage: StageContext,
  { definition }: AttackSettings,
  point: Tensor,
): { readonly result: Tensor; readonly target: Tensor } {
  let target = point;
  let result = definition.transform(stage, point);
  for (const [index, transform] of (definition.transforms ?? []).entries()) {
    const before = result;
    result = transform.apply(stage, before, { step: `copy${index}` }, drawOf(stage, index));
    const { gradientAt = 'point' } = transform;
    if ((typeof gradientAt === 'function' ? gradientAt(stage.parameters) : gradientAt) === 'point') continue;
    if (before === point) target = result;
    else result = passedOver(stage, before, result, `result of transform ${index}`);
  }
  return { result, target };
}

const inPlaceOf: ElementwiseFunction = {
  name: 'inPlaceOf',
  inputs: ['x', 'result'],
  scalars: [],
  results: ['select(result, x, false)'],
  reference: (_x, result) => [result!],
  derivatives: [
    {
      name: 'inPlaceOfGradient',
      inputs: ['g', 'x', 'result'],
      scalars: [],
      results: ['select(g, x + result, false)'],
      reference: (g) => [g!],
    },
  ],
};

/** A transform's result, whose gradient goes on at the images before it as it is, to the transforms before those. */
function passedOver(stage: StageContext, before: Tensor, result: Tensor, name: string): Tensor {
  // What a state holds has no gradient of its own.
  const kept = stage.memory(name, result.shape);
  stage.graph.add('assign', [result, kept], {});
  return elementwiseMap(stage.graph, inPlaceOf, [before, kept]);
}

function move(stage: StageContext, settings: AttackSettings, iterate: Tensor, gradient: Tensor, loss: Tensor): void {
  const { definition } = settings;
  const direction = definition.momentum(stage, definition.gradient(stage, gradient));
  const step = definition.step === steepestStep ? (definition.sampling?.step ?? steepestStep) : definition.step;
  const point = definition.projection(stage, step(stage, iterate, direction, loss));
  stage.graph.add('assign', [point, iterate], {});
}

function buildSampled(stage: StageContext, settings: AttackSettings, iterate: Tensor): void {
  const { graph, segment } = stage;
  const { definition, parameters } = settings;
  const { sampling } = definition;
  const shape = iterate.shape;
  const copies = copiesOf(settings).reduce((product, count) => product * count, 1);
  const [point, mean] = [stage.memory('point', shape), stage.memory('mean', shape)];
  const loss = stage.memory('loss', [shape[0]!]);
  const assign = (value: Tensor, state: Tensor): void => void graph.add('assign', [value, state], {});
  const accumulate = (sum: Tensor, x: Tensor, factor: number): void =>
    void graph.add('map', [sum, x], { fn: addScaled, scalars: [factor], targets: [0] });
  /** The next gradient is the one at `value`. */
  const ask = (value: Tensor): void => {
    assign(value, point);
    stage.set(mean, 0);
  };
  segment('look', () => {
    if (settings.keep === 'best' || queriesIterate(settings)) observeIterate(stage, settings, iterate);
    stage.set(stage.memory('sum', shape), 0);
    stage.set(loss, 0);
    const looked = sampling?.look?.(stage, iterate) ?? iterate;
    const kept = stage.memory('look', shape);
    assign(looked, kept);
    ask(kept);
  });
  if (isPrepared(settings))
    segment('prepare', () => {
      for (const [index, { prepare }] of (definition.transforms ?? []).entries())
        prepare?.(stage, point, drawOf(stage, index));
    });
  segment('copy', () => {
    const query = transformed(stage, settings, point);
    const found: Gradient = stage.gradientAt(query.result, query.target);
    accumulate(mean, found.gradient, 1 / copies);
    accumulate(loss, found.loss, 1 / copies);
  });
  const base = sampling === undefined || sampling.base ? stage.memory('base', shape) : undefined;
  if (base !== undefined) segment('base', () => assign(mean, base));
  const sum = stage.memory('sum', shape);
  if (sampling !== undefined) {
    const sample: StepValue = { step: 'sample' };
    const look = stage.memory('look', shape);
    const found = sampling.points.map((_, index) => stage.memory(`gradient${index}`, shape));
    for (const [index, next] of sampling.points.entries())
      segment(`sample${index}`, () => {
        if (index > 0) assign(mean, found[index - 1]!);
        const before = index === 0 ? undefined : { point, gradient: found[index - 1]! };
        ask(next(stage, look, sample, before));
      });
    segment('collect', () =>
      accumulate(sum, sampling.collect(stage, [...found.slice(0, -1), mean]), 1 / sampling.count(parameters)),
    );
  }
  segment('move', () => {
    const gradient = sampling === undefined ? base! : sampling.combine(stage, { base, mean: sum, iterate });
    move(stage, settings, iterate, elementwiseMap(graph, scaled, [gradient], [1]), loss);
  });
}
