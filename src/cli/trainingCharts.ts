import { percent } from '../experiments/format.js';
import { interval } from '../experiments/statistics.js';
import { ratesOf } from '../experiments/trainingVerdicts.js';
import type { JudgedRun } from '../experiments/trainingVerdicts.js';
import { htmlTable, lineChart, ruleColor, ruleName } from '../report/index.js';
import type { Figure, Line } from '../report/index.js';

/** Rates of runs in ascending order. */
export const ratesIn = (runs: readonly JudgedRun[]): number[] =>
  [...new Set(runs.map(({ lr }) => lr))].sort((a, b) => a - b);

function lossLine(runs: readonly JudgedRun[], rule: string, index: number, rate: number): Line {
  const own = runs.filter((run) => run.rule === rule && run.lr === rate);
  const longest = Math.max(0, ...own.map(({ epochs }) => epochs.length));
  const epochs = Array.from({ length: longest }, (_, e) =>
    own.flatMap((run) => (run.epochs[e] === undefined ? [] : [run.epochs[e].trainLoss])),
  );
  const bands = epochs.map((losses) => interval(losses));
  return {
    name: ruleName(rule),
    color: ruleColor(rule, index),
    points: bands.map(({ mean }, e) => [e + 1, mean]),
    // A logarithmic axis has no place for what is not positive.
    band: bands.map(({ low, high, mean }) => [Math.max(low, mean / 10), high]),
  };
}

/** A logarithmic axis, ticks at powers of two, around all points. */
function lossRange(lines: readonly Line[]): { scale: 'log'; base: number; min: number; max: number } {
  const values = lines.flatMap(({ points, band }) => [...points.map(([, y]) => y), ...(band ?? []).flat()]);
  const [low, high] = values.length === 0 ? [1, 2] : [Math.min(...values), Math.max(...values)];
  return { scale: 'log', base: 2, min: 2 ** Math.floor(Math.log2(low)), max: 2 ** Math.ceil(Math.log2(high) + 1e-9) };
}

/** Training loss by epoch at one rate, a line for each rule, with its band over seeds. */
export function lossChart(runs: readonly JudgedRun[], rules: readonly string[], rate: number): Figure {
  const lines = rules.map((rule, index) => lossLine(runs, rule, index, rate));
  return lineChart({
    title: `training loss by epoch at learning rate ${rate}`,
    x: { title: 'epoch', whole: true },
    y: { title: 'training loss', ...lossRange(lines) },
    lines,
  });
}

/** Final losses against the learning rate, where every run trained; failures are marked. */
function rateLine(runs: readonly JudgedRun[], rule: string, index: number): Line {
  const points = ratesOf(runs, rule).train.map((rate): [number, number] => {
    const own = runs.filter((run) => run.rule === rule && run.lr === rate);
    return [rate, interval(own.map((run) => run.epochs.at(-1)!.trainLoss)).mean];
  });
  return { name: ruleName(rule), color: ruleColor(rule, index), points };
}

/** Where runs of a rule fail: at the upper edge of the picture. */
function failureLine(runs: readonly JudgedRun[], rule: string, index: number, top: number): Line {
  return {
    name: `${ruleName(rule)}: runs fail`,
    color: ruleColor(rule, index),
    dashed: true,
    points: ratesOf(runs, rule).fail.map((rate) => [rate, top]),
  };
}

/** Loss of the last epoch against the learning rate, a line for each rule; rates with failures at the upper edge. */
export function rateChart(runs: readonly JudgedRun[], rules: readonly string[]): Figure {
  const trained = rules.map((rule, index) => rateLine(runs, rule, index));
  const range = lossRange(trained);
  const failed = rules.map((rule, index) => failureLine(runs, rule, index, range.max));
  return lineChart({
    title: 'final training loss against learning rate',
    x: { title: 'learning rate', scale: 'log', base: 2, format: (value) => String(Number(value.toPrecision(2))) },
    y: { title: 'training loss after the last epoch', ...range },
    lines: [...trained, ...failed.filter(({ points }) => points.length > 0)],
  });
}

/** A row for each rate: last training loss and test accuracy of each rule, or how many runs fail. */
export function rateTable(runs: readonly JudgedRun[], rules: readonly string[]): string {
  const cell = (rule: string, lr: number): string => {
    const own = runs.filter((run) => run.rule === rule && run.lr === lr);
    if (own.length === 0) return '';
    const failed = own.filter(({ outcome }) => outcome !== 'trains');
    if (failed.length > 0) return `${failed.length} of ${own.length} fail`;
    const last = own.map((run) => run.epochs.at(-1)!);
    const accuracies = last.flatMap(({ testAccuracy }) => testAccuracy ?? []);
    const accuracy = accuracies.length === 0 ? '' : `, ${percent(interval(accuracies).mean)}`;
    return `${interval(last.map(({ trainLoss }) => trainLoss)).mean.toFixed(3)}${accuracy}`;
  };
  return htmlTable(
    [
      { title: 'learning rate', value: (lr: number) => String(lr), number: true },
      ...rules.map((rule) => ({
        title: `${ruleName(rule)}: last training loss, test accuracy`,
        value: (lr: number) => cell(rule, lr),
        number: true,
      })),
    ],
    ratesIn(runs),
  );
}
