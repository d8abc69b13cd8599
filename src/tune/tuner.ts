import { orderOf } from '../kernels/choice.js';
import type { KernelChoice } from '../kernels/problem.js';
import { median } from '../profile/profile.js';
import { kernelDevice } from '../program/kernelDevice.js';
import { Program } from '../program/program.js';
import type { CompiledDispatch } from '../program/program.js';
import type { Device } from '../runtime/device.js';
import { measurements } from '../runtime/turns.js';
import { expectFields, expectObject } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { LinbpError } from '../errors.js';
import { candidates, candidatesAmong, refinements } from './candidates.js';
import { checkable, standalone } from './standalone.js';
import { choiceName, onlyChoice, problemKey, sameChoice } from '../choices/table.js';
import type { TuningTable } from '../choices/table.js';
import { CheckedProblem, TimedProblem, toleranceOf } from './trial.js';
import type { Trial } from './trial.js';

/** What became of one candidate. */
export interface CandidateResult {
  readonly choice: KernelChoice;
  /** Distance from the float64 reference, relative; infinite where the results are not numbers. */
  readonly error: number;
  /** Why it was not timed. */
  readonly refused?: string;
  /** Shortest of its timed runs. */
  readonly microseconds?: number;
}

/** The outcome for one problem. */
export interface TunedProblem {
  readonly key: string;
  /** Layer and op of the first dispatch that has this problem. */
  readonly layer: string;
  readonly op: string;
  readonly usual: KernelChoice;
  readonly chosen: KernelChoice;
  readonly usualMicroseconds: number;
  readonly microseconds: number;
  readonly candidates: readonly CandidateResult[];
}

/** How {@link tuneProgram} works. */
export interface TuneOptions {
  /**
   * Choices found so far; the result is added to it. Problems it has already are left alone, but for those that add
   * up in another order where `keepOrder` is asked for.
   */
  readonly table: TuningTable;
  /** Keys of the problems to tune; by default all of the program's. */
  readonly only?: ReadonlySet<string>;
  /** Try kernels that round their operands to f16 too, on devices that have matrices of it; default false. */
  readonly halfProducts?: boolean;
  /** Try only what these tables hold, the results of earlier runs, against the usual choice. */
  readonly among?: readonly TuningTable[] | undefined;
  /**
   * Leave out kernels that add up in another order than the usual one; default false. Weight gradients may still be
   * split otherwise.
   */
  readonly keepOrder?: boolean;
  /** Timed runs of each finalist, in turns; default 9. */
  readonly rounds?: number;
  readonly signal?: AbortSignal;
  /** Called before each candidate: problems done and all, and what is at work. */
  readonly onProgress?: (done: number, total: number, what: string) => void;
  /** Called after each problem, so that nothing is lost where the rest is aborted. */
  readonly onResult?: (result: TunedProblem) => void;
}

const tuneFields: FieldNames<TuneOptions> = {
  ...{ table: true, only: true, halfProducts: 'flag', among: true, keepOrder: 'flag', rounds: true },
  ...{ signal: 'signal', onProgress: 'function', onResult: 'function' },
};

/** A candidate replaces the usual choice only where it takes less than this part of its time. */
const threshold = 0.96;
/** Candidates that go into the final, and how much slower than the best so far they may be. */
const finalists = 4;
const finalMargin = 1.4;
/** Memory for candidates that are alive at the same time. */
const mostBytes = 512 * 2 ** 20;

/** The first dispatch of every problem of a program. */
export function problemsOf(program: Program): Map<string, CompiledDispatch> {
  const found = new Map<string, CompiledDispatch>();
  for (const dispatch of program.dispatches) {
    const { tuning } = dispatch.source;
    if (tuning !== undefined && !found.has(problemKey(tuning.problem))) found.set(problemKey(tuning.problem), dispatch);
  }
  return found;
}

/**
 * Finds the fastest kernels for the products of a program. Every candidate is checked against the float64 reference
 * on the device before it is timed, on as much of the problem's data as plain loops can check; the best few and the
 * usual choice then take turns. A candidate with a wrong result is refused, one that gains less than 4 % is left out.
 * The program itself stays as it is. Calls on one device, of this and of `profileProgram`, wait for each other.
 *
 * Throws `aborted` when the signal fires; the table then holds what was finished. Throws what compiling throws.
 */
export async function tuneProgram(program: Program, options: TuneOptions): Promise<TunedProblem[]> {
  expectObject(program, 'program');
  expectFields(options, tuneFields);
  return measurements(program.device).run(() => tuneNow(program, options));
}

async function tuneNow(program: Program, options: TuneOptions): Promise<TunedProblem[]> {
  const { table, signal, onProgress } = options;
  const all = [...problemsOf(program)].filter(([key]) => options.only?.has(key) !== false);
  if (options.keepOrder === true) keepOrders(table, all);
  const problems = all.filter(([key]) => !table.entries.has(key));
  const results: TunedProblem[] = [];
  for (const [index, [key, dispatch]] of problems.entries()) {
    const report = (what: string): void => {
      if (signal?.aborted === true) throw new LinbpError('aborted', 'tuning was aborted');
      onProgress?.(
        index,
        problems.length,
        `${dispatch.source.group.anchor.layer || dispatch.source.group.anchor.op}: ${what}`,
      );
    };
    const result = await tuneProblem(program.device, dispatch, { ...options, report });
    results.push({ key, ...result });
    options.onResult?.(results.at(-1)!);
    table.set(dispatch.source.tuning!.problem, {
      choice: result.chosen,
      microseconds: result.microseconds,
      usualMicroseconds: result.usualMicroseconds,
    });
  }
  return results;
}

/** Prescribes the orders of sums that the problems have in their program, and forgets choices for them in another. */
function keepOrders(table: TuningTable, problems: readonly (readonly [string, CompiledDispatch])[]): void {
  for (const [key, { source }] of problems) {
    const { problem, choice } = source.tuning!;
    const order = orderOf(choice.kernel);
    const known = table.entries.get(key);
    if (known !== undefined && orderOf(known.choice.kernel) !== order) table.entries.delete(key);
    if (order !== undefined) table.orders.set(problem.layer, order);
  }
}

interface ProblemOptions extends TuneOptions {
  readonly report: (what: string) => void;
}

async function tuneProblem(
  device: Device,
  dispatch: CompiledDispatch,
  options: ProblemOptions,
): Promise<Omit<TunedProblem, 'key'>> {
  const { group, tuning } = dispatch.source;
  const { problem, choice: usual } = tuning!;
  const { layer, op } = group.anchor;
  const arena = new Arena(device, dispatch, options);
  try {
    const order = options.table.order(problem);
    const { among, halfProducts } = options;
    const first =
      among === undefined
        ? candidates(problem, usual, kernelDevice(device), { order, halfProducts })
        : candidatesAmong(among, problem, usual, kernelDevice(device), order);
    await arena.enter(first);
    const best = arena.fastest();
    if (among === undefined && best !== undefined)
      await arena.enter(refinements(problem, best.choice, first, kernelDevice(device)));
    const { chosen, microseconds, usualMicroseconds } = await arena.final(usual, options.rounds ?? 9);
    return { layer, op, usual, chosen, microseconds, usualMicroseconds, candidates: arena.results() };
  } finally {
    arena.destroy();
  }
}

/** The candidates of one problem: checked one by one, timed, the slow ones dropped. */
class Arena {
  private readonly device: Device;
  private readonly report: (what: string) => void;
  private readonly checked: CheckedProblem;
  private readonly whole: CheckedProblem;
  private readonly timed: TimedProblem;
  private readonly alive: Trial[] = [];
  private readonly outcomes: { choice: KernelChoice; error: number; refused?: string; trial?: Trial }[] = [];

  constructor(device: Device, dispatch: CompiledDispatch, { report }: ProblemOptions) {
    const { group } = dispatch.source;
    const graph = standalone(group);
    this.device = device;
    this.report = report;
    this.whole = new CheckedProblem(graph, device);
    this.checked = new CheckedProblem(standalone(checkable(group)), device);
    this.timed = new TimedProblem(graph, device);
  }

  async enter(choices: readonly KernelChoice[]): Promise<void> {
    // Pipelines compile beside each other; one that is refused shows up again where it is used.
    this.report(`compiling ${choices.length} candidates`);
    await Promise.all(
      choices.map((choice) =>
        Program.warm(this.whole.graph, { device: this.device, choices: onlyChoice(choice), untested: true }).catch(
          () => undefined,
        ),
      ),
    );
    for (const choice of choices) {
      this.report(choiceName(choice));
      await this.tryOne(choice);
    }
  }

  private async tryOne(choice: KernelChoice): Promise<void> {
    let trial: Trial | undefined;
    try {
      trial = await this.timed.trial(choice);
      let { error, code } = await this.checked.check(choice);
      // A smaller batch may make other shader text, such as one without splits: then the whole problem is checked.
      const text = trial.program.dispatches.map(({ source }) => source.code);
      if (code.join('\n') !== text.join('\n')) ({ error, code } = await this.whole.check(choice));
      if (!(error <= toleranceOf(choice.kernel))) {
        trial.destroy();
        this.outcomes.push({ choice, error, refused: `differs from the reference by ${error.toExponential(1)}` });
        return;
      }
      await trial.sample();
      this.outcomes.push({ choice, error, trial });
      this.alive.push(trial);
      this.drop();
    } catch (cause) {
      trial?.destroy();
      if (!(cause instanceof LinbpError) || cause.code === 'device-lost' || cause.code === 'disposed') throw cause;
      this.outcomes.push({ choice, error: Infinity, refused: cause.message.split('\n')[0]! });
    }
  }

  /** Frees candidates that are out of the race. The usual choice, which came first, stays. */
  private drop(): void {
    const best = Math.min(...this.alive.map((trial) => trial.shortest));
    const room = Math.max(2, Math.floor(mostBytes / Math.max(1, this.alive[0]!.program.plan.bytes)));
    const [usual, ...others] = this.alive as [Trial, ...Trial[]];
    const kept = others.filter((trial) => trial.shortest <= finalMargin * best).sort((a, b) => a.shortest - b.shortest);
    const staying = kept.slice(0, Math.min(finalists, room - 1));
    for (const trial of others) if (!staying.includes(trial)) trial.destroy();
    this.alive.splice(0, this.alive.length, usual, ...staying);
  }

  fastest(): Trial | undefined {
    return [...this.alive].sort((a, b) => a.shortest - b.shortest)[0];
  }

  /** Lets the finalists take turns. The median over rounds of the ratio to the usual choice decides. */
  async final(
    usual: KernelChoice,
    rounds: number,
  ): Promise<{ chosen: KernelChoice; microseconds: number; usualMicroseconds: number }> {
    const base = this.alive.find((trial) => sameChoice(trial.choice, usual));
    if (base === undefined)
      throw new LinbpError('gpu-error', `the usual kernel ${choiceName(usual)} gives wrong results on this device`);
    this.report('final');
    for (const trial of this.alive) trial.reset();
    for (let round = 0; round < rounds; round++) for (const trial of this.alive) await trial.run();
    const ratio = (trial: Trial): number => slowdown(trial, base, this.device.adapterInfo.software);
    const best = [...this.alive].sort((a, b) => ratio(a) - ratio(b))[0]!;
    const winner = ratio(best) <= threshold ? best : base;
    return {
      chosen: winner.choice,
      microseconds: median(winner.microseconds),
      usualMicroseconds: median(base.microseconds),
    };
  }

  results(): CandidateResult[] {
    return this.outcomes.map(({ choice, error, refused, trial }) => ({
      choice,
      error,
      ...(refused !== undefined && { refused }),
      ...(trial !== undefined && { microseconds: trial.shortest }),
    }));
  }

  destroy(): void {
    for (const trial of this.alive) trial.destroy();
    this.timed.destroy();
  }
}

/**
 * Time of a trial over that of another which took turns with it. A disturbance hits a round or a single run, so the
 * figure is the worse of two: by turns and by shortest runs. On the CPU the clock also shows what else the machine
 * does; there processor time has to agree with one of the two.
 */
function slowdown(trial: Trial, base: Trial, software: boolean): number {
  const part = (own: readonly number[], other: readonly number[]): readonly [turns: number, shortest: number] => [
    median(own.map((time, round) => time / Math.max(other[round]!, 1e-3))),
    Math.min(...own) / Math.max(Math.min(...other), 1e-3),
  ];
  const clock = part(trial.microseconds, base.microseconds);
  return software ? Math.max(Math.min(...clock), ...part(trial.processor, base.processor)) : Math.max(...clock);
}

/** Whether a result changes the order of a layer's sums, and with it the last bits of its results. */
export const changesOrder = ({ usual, chosen }: TunedProblem): boolean =>
  orderOf(usual.kernel) !== orderOf(chosen.kernel);
