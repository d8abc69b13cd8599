/** Loss and accuracy of one step, before its update. */
export interface StepResult {
  /** From 1. */
  readonly step: number;
  /** Mean over the batch. */
  readonly loss: number;
  /** Share of the batch, 0..1. */
  readonly accuracy: number;
}

/** What a progress bar shows. */
export interface TrainingProgress {
  /** Present epoch, from 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps done since the beginning. */
  readonly step: number;
  readonly stepsPerEpoch: number;
  /** Means over the steps since the last report. */
  readonly loss: number;
  readonly accuracy: number;
  /** Learning rate in use. */
  readonly lr: number;
  readonly imagesPerSecond: number;
  /** Seconds of training left in this call of `fit`. */
  readonly secondsLeft: number;
  /** The steps since the last report. */
  readonly steps: readonly StepResult[];
}

/** Figures of one epoch. Losses are means per sample, accuracies fractions. */
export interface EpochResult {
  /** From 1. */
  readonly epoch: number;
  /** Means over the epoch's steps, each before its update. */
  readonly trainLoss: number;
  readonly trainAccuracy: number;
  /** After the epoch, where there is a test set. */
  readonly testLoss?: number;
  readonly testAccuracy?: number;
  /** Seconds of training, evaluation not counted. */
  readonly seconds: number;
}

/** Loss (mean per sample) and accuracy (a fraction) over a data set. */
export interface Evaluation {
  readonly count: number;
  readonly correct: number;
  readonly accuracy: number;
  readonly loss: number;
}

/** What a call of `fit` did. */
export interface FitResult {
  readonly epochs: readonly EpochResult[];
  readonly steps: number;
  /** Images trained on, seconds of training, and their ratio; evaluation and checkpoints not counted. */
  readonly images: number;
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

/** Running sums of an epoch. */
export class EpochTally {
  samples: number;
  lossSum: number;
  correctSum: number;
  seconds: number;

  constructor(from = { samples: 0, lossSum: 0, correctSum: 0, seconds: 0 }) {
    ({ samples: this.samples, lossSum: this.lossSum, correctSum: this.correctSum, seconds: this.seconds } = from);
  }

  add(samples: number, loss: number, correct: number): void {
    this.samples += samples;
    this.lossSum += loss;
    this.correctSum += correct;
  }
}

/** Images per second of one call of `fit`. */
export class Pace {
  private images = 0;
  private seconds = 0;

  add(images: number, seconds: number): void {
    this.images += images;
    this.seconds += seconds;
  }

  totals(): { images: number; seconds: number; imagesPerSecond: number } {
    return {
      images: this.images,
      seconds: this.seconds,
      imagesPerSecond: this.seconds > 0 ? this.images / this.seconds : 0,
    };
  }

  /** The pace until now, and the seconds that so many images more take at it. */
  ahead(images: number): { imagesPerSecond: number; secondsLeft: number } {
    const { imagesPerSecond } = this.totals();
    return { imagesPerSecond, secondsLeft: images / imagesPerSecond };
  }
}

/** Mean loss and accuracy of some steps. */
export function meansOf(results: readonly StepResult[]): { loss: number; accuracy: number } {
  const mean = (pick: (result: StepResult) => number): number =>
    results.reduce((sum, result) => sum + pick(result), 0) / results.length;
  return { loss: mean(({ loss }) => loss), accuracy: mean(({ accuracy }) => accuracy) };
}

/** Means of finished steps from the sums of losses and of correct answers that a log holds in pairs. */
export const stepResults = (
  steps: readonly { readonly size: number }[],
  log: ArrayLike<number>,
  before: number,
): StepResult[] =>
  steps.map(({ size }, index) => ({
    step: before + index + 1,
    loss: log[2 * index]! / size,
    accuracy: log[2 * index + 1]! / size,
  }));
