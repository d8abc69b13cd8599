import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { keepNearest, leadOf, marginObjective, nowhere } from './nearest.js';
import { map } from './transformParts.js';
import type { Parameter, PlanSettings, Phase, StageContext } from './stages.js';

/*
 * What attacks share that weigh a perturbation against success by a constant c of each image: times ten until it
 * suffices, then bisection. They minimize distance + c max(lead + confidence, 0).
 */

const nextConstant: ElementwiseFunction = {
  name: 'nextConstant',
  inputs: ['c', 'low', 'high', 'succeeded'],
  scalars: [],
  prelude: `  let above = select(high, c, succeeded > 0.5);
  let below = select(c, low, succeeded > 0.5);`,
  // Rounds enough would take the constant beyond what float32 holds.
  results: [`select(0.5 * (below + above), min(10.0 * c, ${nowhere}.0), above >= ${nowhere}.0)`, 'below', 'above'],
  reference: (c, low, high, succeeded) => {
    const [below, above] = succeeded! > 0.5 ? [low!, c!] : [c!, high!];
    return [above >= nowhere ? Math.min(10 * c!, nowhere) : (below + above) / 2, below, above];
  },
};

const anySuccess: ElementwiseFunction = {
  name: 'anySuccess',
  inputs: ['succeeded', 'lead'],
  scalars: ['most'],
  results: ['select(succeeded, 1.0, lead < most)'],
  reference: (succeeded, lead, most) => [lead! < most! ? 1 : succeeded!],
};

/**
 * The gradient of distance and constant together: `away` is half the gradient of the squared distance, `g` that of the
 * margin. Codes keep constants in float32.
 */
const weighed: ElementwiseFunction = {
  name: 'weighed',
  inputs: ['away', 'g', 'c', 'lead'],
  scalars: ['direction', 'confidence'],
  results: ['2.0 * away + select(0.0, -direction * c * g, lead + confidence > 0.0)'],
  reference: (away, g, c, lead, direction, confidence) => [
    2 * away! + (lead! + confidence! > 0 ? -direction! * Math.fround(c!) * g! : 0),
  ],
};

/** States of the search, each [N]. */
export function constantsOf(stage: StageContext): Record<'c' | 'low' | 'high' | 'succeeded', Tensor> {
  const samples = [stage.clean.shape[0]!];
  return {
    c: stage.state('constant', samples, stage.parameters['initialConstant']!),
    low: stage.state('lowConstant', samples),
    high: stage.state('highConstant', samples, nowhere),
    succeeded: stage.state('succeeded', samples),
  };
}

/** What is minimized, its gradient at a point, and the lead there. */
export function weighedGradient(stage: StageContext, point: Tensor, away: Tensor): { gradient: Tensor; lead: Tensor } {
  const { c } = constantsOf(stage);
  const { loss, gradient } = stage.gradientAt(point, point, marginObjective);
  const lead = leadOf(stage, loss);
  const scalars = [stage.direction, stage.parameters['confidence']!];
  return { gradient: map(stage, weighed, [away, gradient, c, lead], scalars), lead };
}

/** Notes success at a point and keeps it where it is the nearest. */
export function noteSuccess(stage: StageContext, point: Tensor, distance: Tensor, lead: Tensor): void {
  const most = -stage.parameters['confidence']!;
  const { succeeded } = constantsOf(stage);
  stage.graph.add('map', [succeeded, lead], { fn: anySuccess, scalars: [most], targets: [0] });
  keepNearest(stage, point, distance, lead, most);
}

/** The constants of the next round. */
export function nextConstants(stage: StageContext): void {
  const { c, low, high, succeeded } = constantsOf(stage);
  stage.segment('round', () =>
    stage.graph.add('map', [c, low, high, succeeded], { fn: nextConstant, scalars: [], targets: [0, 1, 2] }),
  );
}

/** Rounds of steps: `start`, `step` with its row, `round`; then `end`. */
export function roundsOf(
  { steps, parameters }: PlanSettings,
  row: (step: number) => Readonly<Record<string, number>>,
): Phase[] {
  const rows = Array.from({ length: steps }, (_, step) => row(step));
  const one = [
    { segment: 'start', rows: [{}] },
    { segment: 'step', rows },
    { segment: 'round', rows: [{}] },
  ];
  return [...Array.from({ length: parameters['rounds']! }, () => one).flat(), { segment: 'end', rows: [{}] }];
}

/** Options of such attacks. */
export const constantOptions = (rounds: number, initial: number): Record<string, Parameter> => ({
  rounds: { byDefault: rounds, least: 1, most: 50, whole: true, help: 'constants that are tried' },
  initialConstant: { byDefault: initial, least: 1e-12, most: 1e10, help: 'weight of success in the first round' },
  confidence: { byDefault: 0, least: 0, most: 1e4, help: 'lead that the wrong class has to have' },
});
