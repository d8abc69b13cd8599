import { seedsFrom } from '../arguments.js';
import type { Dataset } from '../data/dataset.js';
import type { Device } from '../runtime/device.js';

/** What the official code does and what is done here, side by side. */
export interface Setting {
  readonly name: string;
  readonly ours: string;
  /** A dash where the official code has nothing of the kind. */
  readonly official: string;
}

/** One line of a chart with its 95 % band over seeds, where there are several. */
export interface CurveLine {
  readonly name: string;
  /** Backward rule, which decides the color. */
  readonly rule: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly band?: readonly (readonly [low: number, high: number])[];
  readonly dashed?: boolean;
}

/** Curves over a common axis. */
export interface Curves {
  readonly title: string;
  readonly x: {
    readonly title: string;
    readonly log?: boolean;
    readonly whole?: boolean;
    readonly names?: readonly string[];
  };
  readonly y: { readonly title: string; readonly log?: boolean; readonly share?: boolean };
  readonly lines: readonly CurveLine[];
  /** Whether it belongs in the experiment's picture, a file of its own. */
  readonly pictured?: boolean;
}

/** A grid of shares from 0 to 1, drawn as colored cells. */
export interface HeatTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly string[];
  readonly columnTitle: string;
  /** [rows][columns] */
  readonly values: readonly (readonly number[])[];
}

/** A table of results as text. */
export interface ResultTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * A sentence about the results with its figures, and what they say: it holds, it does not, or the data leave it open.
 */
export interface Statement {
  readonly verdict: 'holds' | 'fails' | 'open' | 'note';
  readonly text: string;
}

/** What an experiment found. */
export interface ExperimentResult {
  /** The images that it used, where its summary does not name them: the data set can be chosen, or be a stand-in. */
  readonly images?: string;
  readonly settings: readonly Setting[];
  readonly curves: readonly Curves[];
  readonly maps?: readonly HeatTable[];
  readonly tables: readonly ResultTable[];
  readonly statements: readonly Statement[];
  /** All figures for programs. */
  readonly figures: Readonly<Record<string, unknown>>;
}

/** Training runs that can be done anywhere. */
export interface CellWork {
  readonly recipe: string;
  readonly data: { readonly train: Dataset; readonly test: Dataset };
  /** Plain data each. */
  readonly cells: readonly object[];
}

/** Has cells done, and resolves with their results in the order of the cells. */
export type CellRunner = (work: CellWork) => Promise<readonly unknown[]>;

/** What an experiment gets. */
export interface ExperimentContext {
  /** Share of the full size, above 0 and at most 1. It changes sizes only, never what is done. */
  readonly scale: number;
  /** Number of images instead of the one that the scale gives, where an experiment lets choose. */
  readonly images?: number | undefined;
  /** Number of seeds, from 1. */
  readonly seeds: number;
  /** First seed. */
  readonly seed: number;
  /** The folder that holds `mnist/`, `cifar10/` and `models/`. */
  readonly dataFolder: string | undefined;
  /** Data set instead of the experiment's own, where it has the same form. */
  readonly dataset: string | undefined;
  /** Networks instead of the experiment's own, where it lets choose. */
  readonly networks?: readonly string[];
  /** `official` follows the conventions of the theory paper's attack code; `none` attacks in pixels. */
  readonly compat: 'none' | 'official';
  readonly device: Device;
  /** Has training runs done elsewhere, where an experiment can be cut into them. */
  readonly runCells?: CellRunner;
  readonly progress: { line(text: string): void; update(what: string, share: number, details?: string): void };
  readonly signal: AbortSignal;
}

/** An experiment of the papers. */
export interface Experiment {
  readonly name: string;
  /** What it does; names a data set only where it takes no other one. */
  readonly summary: string;
  /** Which fields of the context it looks at that others do not; without `seeds` it runs from the first seed alone. */
  readonly takes?: readonly ('seeds' | 'images' | 'compat')[];
  /** Seeds at `--scale ci` unless told; 2 unless given. */
  readonly fewestSeeds?: number;
  /** Data sets that may take the place of its own; none unless given. */
  readonly datasets?: readonly string[];
  /** Which networks it uses unless told, where others may be named. */
  readonly networks?: string;
  /** Its training runs can be done as jobs. */
  readonly inCells?: boolean;
  run(context: ExperimentContext): Promise<ExperimentResult>;
}

/** What an experiment did, with the images that it used. */
export const summaryOf = ({ summary }: Experiment, { images }: ExperimentResult): string =>
  images === undefined ? summary : `${summary}; images: ${images}`;

/** A size at a scale: the full one times the scale, but at least `least`. */
export function sized(full: number, scale: number, least: number): number {
  return Math.min(full, Math.max(least, Math.round(full * scale)));
}

/** The seeds of a run. */
export const seedsOf = ({ seed, seeds }: Pick<ExperimentContext, 'seed' | 'seeds'>): number[] => seedsFrom(seed, seeds);
