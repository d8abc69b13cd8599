import type { Dataset } from '../data/dataset.js';
import { quotedPath } from '../quote.js';

/** What a network sees in the images of each class. */
export interface Confusion {
  /** `[label][prediction]`: number of images. Empty for more classes than {@link mostShown}. */
  readonly matrix: readonly (readonly number[])[];
  /** By class. */
  readonly classes: readonly {
    readonly label: number;
    readonly name: string;
    readonly count: number;
    readonly correct: number;
    /** A fraction; null where the data set has no image of the class. */
    readonly accuracy: number | null;
  }[];
}

/** Classes whose confusions are counted one by one: of 20,000 there would be 400 million numbers. */
const mostShown = 100;

/** Counts predictions by label. */
export function confusionOf(dataset: Dataset, predictions: ArrayLike<number>): Confusion {
  const { classes, classNames } = dataset;
  const sides = classes <= mostShown ? classes : 0;
  const matrix = Array.from({ length: sides }, () => new Array<number>(sides).fill(0));
  const counts = new Array<number>(classes).fill(0);
  const right = new Array<number>(classes).fill(0);
  for (let i = 0; i < dataset.count; i++) {
    const [label, guess] = [dataset.labels[i]!, predictions[i]!];
    counts[label]! += 1;
    if (label === guess) right[label]! += 1;
    if (sides > 0) matrix[label]![guess]! += 1;
  }
  return {
    matrix,
    classes: counts.map((count, label) => ({
      label,
      name: classNames?.[label] ?? String(label),
      count,
      correct: right[label]!,
      accuracy: count === 0 ? null : right[label]! / count,
    })),
  };
}

/** The confusion matrix as a text table for up to 20 classes, rows are labels; of more classes the worst ten. */
export function confusionLines({ matrix, classes }: Confusion): string[] {
  const share = (accuracy: number | null): string => (accuracy === null ? '-' : `${(100 * accuracy).toFixed(1)} %`);
  if (matrix.length > 0 && matrix.length <= 20) {
    const names = classes.map(({ name }) => quotedPath(name).slice(0, 10));
    const width = Math.max(4, ...matrix.flat().map((count) => String(count).length + 1));
    const left = Math.max('label'.length, ...names.map((name) => name.length));
    const head =
      `${'label'.padEnd(left)} ` +
      `${names.map((name) => name.slice(0, width - 1).padStart(width)).join('')}  accuracy`;
    return [
      head,
      ...matrix.map((row, label) => {
        const counts = row.map((count) => (count === 0 ? '.' : String(count)).padStart(width)).join('');
        return `${names[label]!.padEnd(left)} ${counts}  ${share(classes[label]!.accuracy).padStart(8)}`;
      }),
    ];
  }
  const worst = classes.filter(({ count }) => count > 0).sort((a, b) => a.accuracy! - b.accuracy! || a.label - b.label);
  return [
    'classes with the lowest accuracy:',
    ...worst
      .slice(0, 10)
      .map(
        ({ name, correct, count, accuracy }) =>
          `  ${share(accuracy).padStart(8)}  ${correct}/${count}  ${quotedPath(name)}`,
      ),
  ];
}
