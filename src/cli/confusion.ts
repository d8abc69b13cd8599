import type { Dataset } from '../data/dataset.js';
import { quotedPath } from '../quote.js';

/** What a network sees in the images of each class. */
export interface Confusion {
  /** `[label][prediction]`: number of images. */
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

/** Counts predictions by label. */
export function confusionOf(dataset: Dataset, predictions: ArrayLike<number>): Confusion {
  const { classes, classNames } = dataset;
  const matrix = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < dataset.count; i++) matrix[dataset.labels[i]!]![predictions[i]!]! += 1;
  return {
    matrix,
    classes: matrix.map((row, label) => {
      const count = row.reduce((sum, each) => sum + each, 0);
      const correct = row[label]!;
      return {
        label,
        name: classNames?.[label] ?? String(label),
        count,
        correct,
        accuracy: count === 0 ? null : correct / count,
      };
    }),
  };
}

/** The confusion matrix as a text table for up to 20 classes, rows are labels; of more classes the worst ten. */
export function confusionLines({ matrix, classes }: Confusion): string[] {
  const share = (accuracy: number | null): string => (accuracy === null ? '-' : `${(100 * accuracy).toFixed(1)} %`);
  if (matrix.length <= 20) {
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
