import { ruleTitle } from '../experiments/format.js';
import type { MonteCarloEstimate, MonteCarloResult } from '../theory/monteCarlo.js';
import type { SimulationResult } from '../theory/simulationSettings.js';
import type { Band, CurveStatistics } from '../theory/statistics.js';
import type { TheoremMap, TheoremResult } from '../theory/theorems.js';
import { plainTable } from '../profile/textTable.js';
import { percent } from './common.js';

/** Rows of a curve in a `--json` result: more would only make the file long. */
const MOST_ROWS = 1001;

/** Steps 0..last, thinned evenly to at most `most`, both ends included. */
export function shownSteps(last: number, most = MOST_ROWS): number[] {
  const every = Math.max(1, Math.ceil(last / (most - 1)));
  const steps = Array.from({ length: Math.floor(last / every) + 1 }, (_, k) => k * every);
  return steps.at(-1) === last ? steps : [...steps, last];
}

const pick = (values: ArrayLike<number>, steps: readonly number[]): number[] => steps.map((t) => values[t]!);

function curveFields(curve: CurveStatistics, steps: readonly number[]): Record<string, unknown> {
  const band = ({ mean, halfWidth }: Band): Record<string, number[]> => ({
    mean: pick(mean, steps),
    halfWidth: pick(halfWidth, steps),
  });
  return { bp: band(curve.bp), linbp: band(curve.linbp), margin: band(curve.margin), won: pick(curve.won, steps) };
}

/** Figures of a simulation at its last step, and its curves. */
export function simulationFields({ distance, loss }: SimulationResult): Record<string, unknown> {
  const last = distance.won.length - 1;
  const steps = shownSteps(last);
  return {
    start: distance.bp.mean[0]!,
    bp: distance.bp.mean[last]!,
    linbp: distance.linbp.mean[last]!,
    gap: distance.margin.mean[last]!,
    gapHalfWidth: distance.margin.halfWidth[last]!,
    ratio: distance.linbp.mean[last]! / distance.bp.mean[last]!,
    won: distance.won[last]!,
    steps,
    distance: curveFields(distance, steps),
    loss: curveFields(loss, steps),
  };
}

function figure(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 0.01 || value === 0 ? value.toFixed(4) : value.toExponential(3);
}

/** Lines about a simulation: both rules with 95 % bands at some steps, and what follows. */
export function describeSimulation({ distance, loss }: SimulationResult, width: number): string[] {
  const last = distance.won.length - 1;
  const steps = [...new Set([0, 1, 2, 5, 10, 20, 50, 100].map((share) => Math.round((share / 100) * last)))];
  const shown = ({ mean, halfWidth }: Band, t: number): string => `${figure(mean[t]!)} ± ${figure(halfWidth[t]!)}`;
  const lines = plainTable(
    [
      ['step', 'distance BP', 'distance LinBP', 'BP - LinBP', 'LinBP wins', 'loss BP', 'loss LinBP'],
      ...steps.map((t) => [
        String(t),
        shown(distance.bp, t),
        shown(distance.linbp, t),
        shown(distance.margin, t),
        percent(distance.won[t]!),
        figure(loss.bp.mean[t]!),
        figure(loss.linbp.mean[t]!),
      ]),
    ],
    { width, drop: [6, 5] },
  );
  const ratio = `ratio ${figure(distance.linbp.mean[last]! / distance.bp.mean[last]!)}`;
  return [
    ...lines,
    `distance: BP - LinBP = ${shown(distance.margin, last)}, ${ratio}; ${compare(distance, last)}`,
    `loss: BP - LinBP = ${shown(loss.margin, last)}; ${compare(loss, last)}`,
  ];
}

/** Which rule is lower, where the interval of the difference decides. */
function compare({ margin }: CurveStatistics, t: number): string {
  const gap = margin.mean[t]!;
  const width = margin.halfWidth[t]!;
  if (gap > width) return `LinBP is lower at step ${t}`;
  if (gap < -width) return `BP is lower at step ${t}`;
  return 'no verdict: the interval contains 0, more repeats narrow it';
}

/** The `--json` fields of a theorem. */
export function theoremFields(result: TheoremResult, map: TheoremMap | undefined): Record<string, unknown> {
  const steps = shownSteps(result.settings.steps);
  const { settings, verdict, drawsViolating, stepsViolating, stepSize } = result;
  const curves = ['bp', 'linbp', 'linbpExpected', 'margin', 'marginHalfWidth', 'smallestMargin', 'violating'] as const;
  return {
    settings,
    verdict,
    drawsViolating,
    stepsViolating,
    stepSize,
    steps,
    ...Object.fromEntries(curves.map((name) => [name, pick(result[name], steps)])),
    map: map && {
      axis: map.axis,
      values: map.values,
      times: map.times,
      margin: map.margin,
      violating: map.violating,
      verdicts: map.rows.map((row) => row.verdict),
    },
  };
}

/** Lines about a theorem at its settings. */
export function describeTheorem(result: TheoremResult, width: number): string[] {
  const { settings, stepSize } = result;
  const { theorem, dimension, targetMean, targetDeviation, startMean, startDeviation, eta, eps, draws, steps } =
    settings;
  const clip = eps === undefined ? 'no clip' : `clip ${eps}`;
  const times = [...new Set([0, 0.1, 0.25, 0.5, 1].map((share) => Math.round(share * steps)))];
  const bound = `LinBP's error is multiplied by ${figure(stepSize.contraction)} a step`;
  return [
    `theorem ${theorem} (${theorem === 1 ? 'attack' : 'training'}): d = ` +
      `${dimension}, a* ~ N(${targetMean}, ${targetDeviation}^2), a_0 ~ N(${startMean}, ` +
      `${startDeviation}^2), eta' = ${eta}, ${clip}, ${draws} draws`,
    `step size: ${bound}; ` +
      (stepSize.monotone
        ? 'monotone'
        : stepSize.converges
          ? 'overshoots (eta above 2)'
          : 'diverges (eta of 4 or more)'),
    ...plainTable(
      [
        ['step', 'E|a*-a| BP', 'LinBP', 'LinBP exact', 'margin', 'smallest', 'violating'],
        ...times.map((t) => [
          String(t),
          figure(result.bp[t]!),
          figure(result.linbp[t]!),
          figure(result.linbpExpected[t]!),
          `${figure(result.margin[t]!)} ± ${figure(result.marginHalfWidth[t]!)}`,
          figure(result.smallestMargin[t]!),
          percent(result.violating[t]!),
        ]),
      ],
      { width },
    ),
    verdictLine(result),
  ];
}

function verdictLine({ verdict, drawsViolating, stepsViolating, settings }: TheoremResult): string {
  const violations = `${percent(drawsViolating)} of the draws violate the inequality at some step`;
  switch (verdict) {
    case 'every draw':
      return `the inequality holds for every draw at every step 0..${settings.steps}`;
    case 'on average':
      return `the inequality holds on average only: ${violations}`;
    case 'fails':
      return `VIOLATED on average at ${stepsViolating} of ${settings.steps} steps; ${violations}`;
  }
}

/**
 * A map as a grid: the margin as a percentage of BP's distance; `*` where a draw violates, `!` where the average does.
 */
export function describeMap(map: TheoremMap, width: number): string[] {
  const cell = (margin: number, violating: number): string => {
    const text = Math.abs(margin) < 10 ? `${(100 * margin).toFixed(1)}` : margin < 0 ? '<-999' : '>999';
    return `${text}${margin < -1e-12 || Number.isNaN(margin) ? '!' : violating > 0 ? '*' : ' '}`;
  };
  return [
    `map over ${map.axis} and step: (BP - LinBP) / BP in percent; "*" some draws violate, "!" the average does`,
    ...plainTable(
      [
        [map.axis, ...map.times.map((t) => `t=${t} `), 'holds for'],
        ...map.values.map((value, i) => [
          String(value),
          ...map.times.map((_, k) => cell(map.margin[i]![k]!, map.violating[i]![k]!)),
          map.rows[i]!.verdict === 'fails' ? 'FAILS' : map.rows[i]!.verdict,
        ]),
      ],
      { width, drop: map.times.map((_, k) => map.times.length - k) },
    ),
  ];
}

/** The `--json` fields of a sampled expectation. */
export function monteCarloFields({ settings, estimates, seconds }: MonteCarloResult): Record<string, unknown> {
  const list = (values: ArrayLike<number>): number[] => Array.from(values);
  return {
    layers: settings.layers,
    draws: settings.draws,
    point: list(settings.point),
    target: list(settings.target),
    hidden: settings.hidden ?? null,
    samplingSeconds: seconds,
    rules: Object.fromEntries(
      estimates.map(({ rule, mean, expected, halfWidth, covered, relativeError, largestDeviation }) => [
        rule,
        {
          mean: list(mean),
          expected: list(expected),
          halfWidth: list(halfWidth),
          covered,
          relativeError,
          largestDeviation,
        },
      ]),
    ),
  };
}

/** Lines about one rule's estimate. */
export function describeEstimate(estimate: MonteCarloEstimate, width: number): string[] {
  const { rule, mean, halfWidth, expected, covered, relativeError, largestDeviation } = estimate;
  const name = ruleTitle(rule);
  return [
    ...plainTable(
      [
        ['entry', `${name} sampled`, 'closed form', 'difference'],
        ...Array.from(mean, (value, j) => [
          String(j),
          `${figure(value)} ± ${figure(halfWidth[j]!)}`,
          figure(expected[j]!),
          (value - expected[j]!).toExponential(2),
        ]),
      ],
      { width },
    ),
    `${name}: largest difference ${percent(relativeError)} of the largest entry, ` +
      `${largestDeviation.toFixed(2)} standard errors; ${covered} ` +
      `of ${mean.length} intervals of 95 % contain the closed form`,
  ];
}
