import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { LinbpError, check } from '../errors.js';
import { median, row } from './rows.js';
import type { BenchRow } from './rows.js';
import type { PartyEntry } from './party.js';
import type { Answer, Request } from './worker.js';
import { beside, workloadName } from './workloads.js';
import type { WorkloadRequest } from './workloads.js';

/** How long a party may take for an answer, and until when at all. */
export interface AskLimits {
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** Seconds for an answer unless the user says how many: the longest turns of the slowest peers take half a minute. */
export const usualPatience = 600;

const interrupted = 'the comparison was interrupted';

/** The line of a process's error output that names the error; the last line where none does. */
export function reasonIn(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => /^(Uncaught )?\w*(Error|Exception)\b/.test(line)) ?? lines.at(-1) ?? 'it wrote no reason';
}

/**
 * A party in a process of its own, so that no library's memory, caches or failures reach another's. Opening a
 * workload starts the process where there is none, so what ends a process costs the party one workload.
 */
export class PartyProcess {
  readonly entry: PartyEntry;
  private child: ChildProcess | undefined;
  /** How the last process ended. */
  private ending = 'has no process';

  constructor(entry: PartyEntry) {
    this.entry = entry;
  }

  /**
   * Sends a request and waits for its answer, usually no longer than {@link usualPatience}. A process that gives none
   * is killed.
   *
   * @throws LinbpError `internal` when the party fails, its process ends or the time is over, `aborted` when the
   * signal fires
   */
  async ask(
    request: Request,
    { seconds = usualPatience, signal = new AbortController().signal }: Partial<AskLimits> = {},
  ): Promise<Answer> {
    check(!signal.aborted, 'aborted', interrupted);
    if (request.call === 'open') this.child ??= this.start();
    if (this.child === undefined) throw this.failure(this.ending);
    const answer = await this.answer(this.child, request, { seconds, signal });
    if (answer.error !== undefined) throw this.failure(answer.error);
    return answer;
  }

  end(): void {
    if (this.child?.connected) this.child.disconnect();
  }

  private start(): ChildProcess {
    const { module, browser } = this.entry;
    const child = fork(beside('worker.js'), [module, browser ? 'browser' : 'plain'], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let stderr = '';
    child.stderr!.on('data', (bytes: Buffer) => (stderr = (stderr + bytes.toString()).slice(-2000)));
    child.once('close', (code, by) => {
      this.ending = `ended ${by === null ? `with code ${code}` : `by ${by}`}: ${reasonIn(stderr)}`;
      if (this.child === child) this.child = undefined;
    });
    return child;
  }

  private async answer(child: ChildProcess, request: Request, { seconds, signal }: AskLimits): Promise<Answer> {
    const settled = new AbortController();
    const until = { signal: settled.signal };
    try {
      const answers = once(child, 'message', until).then(([message]) => message as Answer);
      // Where the process has ended it says so by its end, not here.
      child.send(request, () => undefined);
      const first = await Promise.race([
        answers,
        once(child, 'close', until).then(() => this.failure(this.ending)),
        once(signal, 'abort', until).then(() => new LinbpError('aborted', interrupted)),
        sleep(1000 * seconds, undefined, until).then(() => this.failure(`gave no answer within ${seconds} s`)),
      ]);
      if (!(first instanceof LinbpError)) return first;
      this.kill(child);
      throw first;
    } finally {
      settled.abort();
    }
  }

  private kill(child: ChildProcess): void {
    child.kill('SIGKILL');
    // A process that the party started itself may still hold the other end.
    child.stderr!.destroy();
    if (this.child === child) this.child = undefined;
  }

  private failure(message: string): LinbpError {
    return new LinbpError('internal', `${this.entry.name}: ${message}`, { field: this.entry.name });
  }
}

/** How long and how often to measure. */
export interface CompareOptions {
  /** Rounds; in each every party has one turn. */
  readonly rounds: number;
  /**
   * Seconds that the rounds of one workload may take altogether; slow ones get fewer rounds, but no fewer than
   * `leastRounds`.
   */
  readonly budgetSeconds: number;
  readonly leastRounds: number;
  /** Seconds within which a party must answer; a peer that does not has failed. */
  readonly answerSeconds: number;
  /** Least length of a turn in milliseconds. */
  readonly turnMilliseconds: number;
  /** Units that every party does first, whose results are compared. */
  readonly checkUnits: number;
  /** Relative difference of results above which a party's row carries a warning. */
  readonly tolerance: number;
  /**
   * Also report processor time: for software adapters, where it counts all work and other load on the
   * machine does not enter it.
   */
  readonly processorTime: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/** Largest difference of two results relative to the largest value. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length || a.length === 0) return NaN;
  let apart = 0;
  let scale = 0;
  for (let i = 0; i < a.length; i++) {
    apart = Math.max(apart, Math.abs(a[i]! - b[i]!));
    scale = Math.max(scale, Math.abs(a[i]!));
  }
  return apart / scale;
}

/** Whether two results agree, and how far they are apart in words. */
export interface Agreement {
  readonly agrees: boolean;
  readonly note: string;
}

/**
 * Compares two results. Of an attack the middle one of the samples' differences decides, and the largest stands
 * beside it: steps are signs, so where a gradient is within rounding of 0 the paths of a sample part, in exact
 * arithmetic as in either party's.
 */
export function agreement(
  kind: WorkloadRequest['kind'],
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  tolerance: number,
): Agreement {
  const largest = difference(a, b);
  const told = (by: number, how: string): Agreement => ({
    agrees: by <= tolerance,
    note: `results ${by <= tolerance ? 'agree' : 'DIFFER'} (${how})`,
  });
  if (kind !== 'attack' || Number.isNaN(largest)) return told(largest, `${largest.toExponential(1)} apart`);
  const each = Array.from(a, (value, i) => difference([value], [b[i]!]));
  const middle = median(each);
  return told(
    middle,
    `half of the samples ${middle.toExponential(1)} apart or less, the worst ${Math.max(...each).toExponential(1)}`,
  );
}

interface Contender {
  readonly party: PartyProcess;
  readonly units: number;
  /** Expected length of a turn in milliseconds. */
  readonly turn: number;
  readonly result: Float64Array;
  /** Milliseconds of a unit in each round: by the clock, and of processor time. */
  readonly times: number[];
  readonly processor: number[];
}

/** Opens a workload and does the units whose results are compared. Undefined where the party cannot do it. */
async function prepare(
  party: PartyProcess,
  ask: (request: Request) => Promise<Answer>,
  request: WorkloadRequest,
  { checkUnits, turnMilliseconds }: CompareOptions,
): Promise<Contender | undefined> {
  const { opened } = await ask({ call: 'open', workload: request });
  if (opened !== true) return undefined;
  const checked = (await ask({ call: 'run', units: checkUnits })).milliseconds / checkUnits;
  const result = (await ask({ call: 'result' })).result!;
  // The check compiled everything; a second run says how many units fill a turn, unless one unit clearly does.
  const milliseconds = checked > 10 * turnMilliseconds ? checked : (await ask({ call: 'run', units: 1 })).milliseconds;
  const units = Math.min(64, Math.max(1, Math.round(turnMilliseconds / milliseconds)));
  return { party, result, times: [], processor: [], units, turn: units * milliseconds };
}

/** A contender's times over those of `own` in the same rounds: by the clock and, where asked for, of processor time. */
function rowsOf(
  request: WorkloadRequest,
  contender: Contender,
  own: Contender,
  { tolerance, processorTime }: CompareOptions,
): BenchRow[] {
  const name = workloadName(request);
  const subject = contender.party.entry.name;
  const ratioOf = (kind: 'times' | 'processor'): number =>
    median(contender[kind].map((time, round) => time / own[kind][round]!));
  const found = contender === own ? undefined : agreement(request.kind, own.result, contender.result, tolerance);
  const clock = row(name, subject, 'ms', contender.times, { ratio: ratioOf('times'), ...found });
  if (!processorTime) return [clock];
  const rest = { ratio: ratioOf('processor'), ...(found && { agrees: found.agrees }) };
  return [clock, row(`${name}, processor time`, subject, 'cpu ms', contender.processor, rest)];
}

const failedRow = (name: string, subject: string, note: string): BenchRow => ({
  ...{ name, subject, unit: 'ms', note },
  ...{ median: NaN, min: NaN, max: NaN, rounds: 0, ratio: null },
});

/**
 * Measures one workload with several parties, the first of which is the yardstick. Each party first does a few units
 * from the same initial state, whose results are compared; then the parties take turns, so that a disturbance of the
 * machine meets all of them. A peer that fails at any point gets a row with the reason and no figures.
 *
 * @throws LinbpError `internal` when the yardstick fails, `aborted` when the signal fires
 */
export async function compare(
  request: WorkloadRequest,
  parties: readonly PartyProcess[],
  options: CompareOptions,
): Promise<BenchRow[]> {
  const { budgetSeconds, leastRounds, answerSeconds, signal, onProgress } = options;
  const name = workloadName(request);
  const failed: BenchRow[] = [];
  const askOf = (party: PartyProcess) => (message: Request) => party.ask(message, { seconds: answerSeconds, signal });
  /** What `body` gives, or undefined where a peer fails. */
  const attempt = async <T>(
    party: PartyProcess,
    when: string,
    body: (ask: (message: Request) => Promise<Answer>) => Promise<T>,
  ) => {
    try {
      return await body(askOf(party));
    } catch (error) {
      if (party === parties[0] || signal.aborted) throw error;
      const note = `failed${when}: ${(error as Error).message.split('\n')[0]!.slice(0, 160)}`;
      failed.push(failedRow(name, party.entry.name, note));
      return undefined;
    }
  };
  const contenders = new Set<Contender>();
  for (const party of parties) {
    onProgress(`${name}: ${party.entry.name}`);
    const contender = await attempt(party, '', (ask) => prepare(party, ask, request, options));
    if (contender !== undefined) contenders.add(contender);
  }
  const secondsOfRound = [...contenders].reduce((sum, { turn }) => sum + turn, 0) / 1000;
  const rounds = Math.min(options.rounds, Math.max(leastRounds, Math.floor(budgetSeconds / secondsOfRound)));
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) {
      const { party, units, times, processor } = contender;
      const turn = `round ${round + 1} of ${rounds}`;
      onProgress(`${name}: ${turn}, ${party.entry.name}`);
      const answer = await attempt(party, ` in ${turn}`, (ask) => ask({ call: 'run', units }));
      if (answer === undefined) {
        contenders.delete(contender);
        continue;
      }
      times.push(answer.milliseconds / units);
      processor.push(answer.processor / units);
    }
  }
  for (const contender of contenders) {
    const closed = await attempt(contender.party, ' at close', (ask) => ask({ call: 'close' }));
    if (closed === undefined) contenders.delete(contender);
  }
  const [own] = contenders;
  return [...[...contenders].flatMap((contender) => rowsOf(request, contender, own!, options)), ...failed];
}
