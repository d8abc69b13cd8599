import type { AutoAttackResult } from '../../attacks/autoattack.js';
import type { AttackedSample, AttackResult } from '../../attacks/result.js';

/** What became of one image, as `--json` and `--csv` say it. Norms are of the float images, in pixels of [0, 1]. */
export interface ImageRecord {
  /** Number of the image in the data set, from 0. */
  readonly index: number;
  readonly label: number;
  readonly target: number | null;
  /** Classes that the network sees in the clean and in the adversarial image. */
  readonly clean: number;
  readonly final: number;
  /** The clean image is classified right, and the adversarial one wrongly (targeted: as the target). */
  readonly success: boolean;
  readonly linf: number;
  readonly l2: number;
  readonly l1: number;
  /** Values that differ, of all channels. */
  readonly l0: number;
  /**
   * Gradients spent before the first iterate that succeeds, of AutoAttack by the stage that broke the image; null
   * where none does or none is looked at.
   */
  readonly firstStep: number | null;
  /** Passes, under AutoAttack until it was seen to be fooled; forwards include those of gradients. */
  readonly gradients: number;
  readonly forwards: number;
  /** What the attack counts as its queries of the image; all forwards where it counts none, and of AutoAttack. */
  readonly queries: number;
  /** AutoAttack: the stage that broke the image. */
  readonly brokenBy?: string | null;
}

/** One record an image; `clean` are the pixels of the clean images. */
export function imageRecords(result: AttackResult | AutoAttackResult, clean: Float32Array): ImageRecord[] {
  const size = result.images.length / result.count;
  return result.samples.map((sample: AttackedSample, n): ImageRecord => {
    let [linf, squares, l1, l0] = [0, 0, 0, 0];
    for (let i = n * size; i < (n + 1) * size; i++) {
      const difference = Math.abs(result.images[i]! - clean[i]!);
      linf = Math.max(linf, difference);
      squares += difference * difference;
      l1 += difference;
      if (difference > 0) l0 += 1;
    }
    const { gradients, forwards } = result.passes[n]!;
    return {
      index: sample.id,
      label: sample.label,
      target: sample.target ?? null,
      clean: sample.cleanClass,
      final: sample.finalClass,
      success: sample.success,
      ...{ linf, l2: Math.sqrt(squares), l1, l0 },
      firstStep: sample.firstStep,
      ...{ gradients, forwards, queries: ('stages' in result ? undefined : sample.queries) ?? forwards },
      ...('brokenBy' in result && { brokenBy: result.brokenBy[n]! }),
    };
  });
}

/** Columns of `--csv`; those of the run follow those of the image. */
export const csvColumns = [
  ...['index', 'label', 'target', 'clean', 'final', 'success', 'linf', 'l2', 'l1', 'l0'],
  ...['firstStep', 'gradients', 'forwards', 'queries', 'brokenBy', 'attack', 'rule', 'norm', 'eps'],
] as const;

const cell = (value: unknown): string => {
  if (value === null || value === undefined) return '';
  const text = String(value as string | number | boolean);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** Comma-separated values (RFC 4180) of the records of some runs; null is empty. */
export function csvOf(
  runs: readonly { readonly settings: Readonly<Record<string, unknown>>; readonly images: readonly ImageRecord[] }[],
): string {
  const lines = runs.flatMap(({ settings, images }) => {
    const { attack, rule, norm, eps } = settings;
    const shown = { attack, rule, norm, eps: eps === Infinity ? null : eps };
    return images.map((image) => {
      const row: Readonly<Record<string, unknown>> = { ...image, ...shown };
      return csvColumns.map((column) => cell(row[column])).join(',');
    });
  });
  return `${csvColumns.join(',')}\n${lines.map((line) => `${line}\n`).join('')}`;
}
