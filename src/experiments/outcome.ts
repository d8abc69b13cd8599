import type { TrainingRun } from './trainingRuns.js';

/** How a training run of a sweep over learning rates ended. */
export type Outcome = 'trains' | 'not finite' | 'above guessing' | 'stuck';

/** A last epoch's loss above this many times that of guessing, ln(classes), cannot be called training. */
const above = 1.05;
/** From this many times on a run is where guessing is; small rates are there too, before they have got anywhere. */
const near = 0.98;

/** The rule of {@link outcomes} in words, for reports. */
export const failureRule =
  'its loss is not finite; or that of its last epoch is above ' +
  `${above} ln(classes); or it is still above ${near} ln(classes), ` +
  'where guessing is, although a smaller rate got the same rule from the same weights further, or made it fail already';

/**
 * How each run ended. A run that is where guessing is counts as stuck only where a smaller learning rate got the same
 * rule from the same seed further in as many epochs, or made it fail: at small rates the loss of guessing means that
 * training has only begun, at large ones that it went nowhere, as it does when the first steps leave no ReLU active.
 *
 * @param runs of one network and data set, with equally many epochs where they did not diverge
 */
export function outcomes(runs: readonly TrainingRun[], classes: number): Map<TrainingRun, Outcome> {
  const guessing = Math.log(classes);
  const last = (run: TrainingRun): number => (run.diverged === undefined ? (run.epochs.at(-1)?.trainLoss ?? NaN) : NaN);
  const atGuessing = (run: TrainingRun): boolean => last(run) >= near * guessing && last(run) <= above * guessing;
  const outcome = (run: TrainingRun): Outcome => {
    if (!Number.isFinite(last(run))) return 'not finite';
    if (last(run) > above * guessing) return 'above guessing';
    const smaller = (each: TrainingRun): boolean =>
      each.rule === run.rule && each.seed === run.seed && each.lr < run.lr;
    return atGuessing(run) && runs.some((each) => smaller(each) && !atGuessing(each)) ? 'stuck' : 'trains';
  };
  return new Map(runs.map((run) => [run, outcome(run)]));
}
