import { percent } from '../experiments/format.js';
import { interval } from '../experiments/statistics.js';
import type { Evaluated } from '../experiments/sweep.js';
import { ratesIn, runsAt } from '../experiments/trainingVerdicts.js';
import type { JudgedRun } from '../experiments/trainingVerdicts.js';
import { failureChart, htmlTable, lineChart, logRange, ruleColor, ruleName } from '../report/index.js';
import type { Figure, Line } from '../report/index.js';

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

/** Training loss by epoch at one rate, a line for each rule, with its band over seeds. */
export function lossChart(runs: readonly JudgedRun[], rules: readonly string[], rate: number): Figure {
  const lines = rules.map((rule, index) => lossLine(runs, rule, index, rate));
  return lineChart({
    title: `training loss by epoch at learning rate ${rate}`,
    x: { title: 'epoch', whole: true },
    y: { title: 'training loss (log scale)', scale: 'log' },
    lines,
  });
}

/**
 * Loss of the last epoch against the learning rate: the mean of each rule's runs that train, hollow where others fail.
 * Runs that fail have no loss; they are counted in a band above.
 */
export function rateChart(runs: readonly JudgedRun[], rules: readonly string[]): Figure {
  const series = rules.map((rule, index) => {
    const results = ratesIn(runs)
      .map((rate) => runsAt(runs, rule, rate))
      .filter((result) => result.runs > 0);
    return {
      name: ruleName(rule),
      color: ruleColor(rule, index),
      points: results.flatMap(({ lr, loss, failed }) =>
        loss === undefined ? [] : [{ x: lr, y: loss, partial: failed > 0 }],
      ),
      failures: results
        .filter(({ failed }) => failed > 0)
        .map(({ lr, failed, runs: all }) => ({ x: lr, text: `${failed} of ${all}` })),
    };
  });
  return failureChart({
    title: 'final training loss against learning rate; runs that failed are counted above',
    x: 'learning rate',
    y: {
      title: 'training loss after the last epoch (log scale)',
      ...logRange(series.flatMap(({ points }) => points.map(({ y }) => y))),
    },
    failed: 'runs that failed',
    series,
  });
}

/** What readers of {@link rateChart} must know, where runs failed. */
export function rateWords(runs: readonly JudgedRun[]): string {
  const failed = runs.filter(({ outcome }) => outcome !== 'trains').length;
  if (failed === 0) return '';
  const results = [...new Set(runs.map(({ rule }) => rule))].flatMap((rule) =>
    ratesIn(runs).map((rate) => runsAt(runs, rule, rate)),
  );
  const partial = results.some((result) => result.failed > 0 && result.loss !== undefined);
  return (
    'A cross counts runs that failed, which have no loss' +
    `${partial ? '; a hollow point is the mean of the runs that trained there' : ''}.`
  );
}

/**
 * A row for each rate: last training loss and accuracy on other images of each rule, or how many runs fail.
 *
 * @param evaluated what those images are
 */
export function rateTable(runs: readonly JudgedRun[], rules: readonly string[], evaluated: Evaluated = 'test'): string {
  const cell = (rule: string, lr: number): string => {
    const { runs: all, failed, loss, accuracy } = runsAt(runs, rule, lr);
    if (all === 0) return '';
    const figures = loss === undefined ? [] : [loss.toFixed(3), ...(accuracy === undefined ? [] : [percent(accuracy)])];
    if (failed === 0) return figures.join(', ');
    return [`${failed} of ${all} failed`, ...(figures.length === 0 ? [] : [`trained: ${figures.join(', ')}`])].join(
      '; ',
    );
  };
  return htmlTable(
    [
      { title: 'learning rate', value: (lr: number) => String(lr), number: true },
      ...rules.map((rule) => ({
        title: `${ruleName(rule)}: last training loss, ${evaluated} accuracy`,
        value: (lr: number) => cell(rule, lr),
        number: true,
        narrow: 'wrapped' as const,
      })),
    ],
    ratesIn(runs),
  );
}
