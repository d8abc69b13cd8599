import type { LinbpError } from '../errors.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import type { Needs, OptionTable, OptionValues } from './options.js';
import type { Progress } from './progress.js';
import type { Colors } from './terminal/screen.js';

/** What a verb gets besides its options. */
export interface VerbContext {
  /** Fires at the first Ctrl-C, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** The command line: the verb and what follows it. */
  readonly command: readonly string[];
  /** Progress and notes, on stderr. */
  readonly progress: Progress;
  /** Prints a line of the result for people, on stdout; on stderr where `--json -` takes stdout. */
  readonly print: (line: string) => void;
  /** All verbs, for what describes the command line itself. */
  readonly verbs: () => Promise<readonly Verb[]>;
  /** Columns that a table may take: those of the terminal, infinite elsewhere. */
  readonly width: number;
  readonly colors: Colors;
  /** Takes the lock of the run's output folder, or single file, until the verb ends. Throws `not-writable`. */
  readonly lock: (path: string, what?: 'folder' | 'file') => Promise<void>;
}

/** The part of an adapter's description that every `--json` result has. */
export type ShownAdapter = Pick<AdapterInfo, 'vendor' | 'architecture' | 'description' | 'software'>;

/** What a verb found. */
export interface VerbResult {
  /** Where it was computed. */
  readonly adapter: ShownAdapter;
  /** The verb's own fields of the `--json` result. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Settings that the options do not say as they stand, such as a default that depends on the model. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** The work was cut short by the signal; the fields hold what was done until then. */
  readonly interrupted?: boolean;
  /** What failed although there is a result; the command line ends with it once the result is written. */
  readonly failure?: LinbpError | undefined;
}

/** A verb of the command line. */
export interface Verb<O extends OptionTable = OptionTable> {
  readonly name: string;
  /** One line for `linbp --help`. */
  readonly summary: string;
  readonly options: O;
  /** Commands that work as they stand, at least two, for the beginning of the verb's `--help`. */
  readonly examples: readonly [string, string, ...string[]];
  /** The option that a plain word right after the verb sets, as in `linbp simulate attack`. */
  readonly subject?: keyof O & string;
  /** Lines for the verb's own `--help`, after its options. */
  readonly notes?: readonly string[];
  /** What options need to count for anything, where that follows from the others. Looked at before the verb runs. */
  readonly needs?: (options: OptionValues<O>) => Needs<OptionValues<O>>;
  /**
   * Does the work. A number is an exit code of a verb that wrote its own result file.
   *
   * @throws LinbpError, which the command line prints as one line
   */
  run(
    options: OptionValues<O> & { readonly json: string | undefined },
    context: VerbContext,
  ): Promise<VerbResult | number>;
}

/** States a verb; the types of its option values follow from the table. */
export function defineVerb<O extends OptionTable>(verb: Verb<O>): Verb {
  return verb as unknown as Verb;
}
