import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { LinbpError } from '../errors.js';
import { median, row } from './rows.js';
import type { BenchRow } from './rows.js';
import type { PartyEntry } from './party.js';
import type { Answer, Request } from './worker.js';
import { beside, workloadName } from './workloads.js';
import type { WorkloadRequest } from './workloads.js';

/** A party in a process of its own, so that no library's memory, caches or failures reach another's. */
export class PartyProcess {
  readonly entry: PartyEntry;
  private readonly child: ChildProcess;
  private stderr = '';

  constructor(entry: PartyEntry) {
    this.entry = entry;
    this.child = fork(beside('worker.js'), [entry.module, entry.browser ? 'browser' : 'plain'], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.child.stderr!.on('data', (bytes: Buffer) => (this.stderr = (this.stderr + bytes.toString()).slice(-2000)));
  }

  /** Sends a request and waits for its answer. Throws `internal` when the process fails. */
  async ask(request: Request): Promise<Answer> {
    const answer = await new Promise<Answer>((resolve, reject) => {
      const ended = (code: number | null): void => reject(this.failure(`ended with code ${code}: ${this.stderr.trim()}`));
      this.child.once('exit', ended);
      this.child.once('message', (message) => {
        this.child.off('exit', ended);
        resolve(message as Answer);
      });
      if (!this.child.connected) ended(this.child.exitCode);
      else this.child.send(request);
    });
    if (answer.error !== undefined) throw this.failure(answer.error);
    return answer;
  }

  end(): void {
    if (this.child.connected) this.child.disconnect();
  }

  private failure(message: string): LinbpError {
    return new LinbpError('internal', `${this.entry.name}: ${message}`, { field: this.entry.name });
  }
}

/** How long and how often to measure. */
export interface CompareOptions {
  /** Rounds; in each every party has one turn. */
  readonly rounds: number;
  /** Seconds that the rounds of one workload may take altogether; slow ones get fewer rounds, at least one. */
  readonly budgetSeconds: number;
  /** Least length of a turn in milliseconds. */
  readonly turnMilliseconds: number;
  /** Units that every party does first, whose results are compared. */
  readonly checkUnits: number;
  /** Relative difference of results above which a party's row carries a warning. */
  readonly tolerance: number;
  /** Also report processor time: for adapters that compute on the CPU, where it counts all work and other load on the machine does not enter it. */
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

/**
 * Whether two results agree, in words. Of an attack the middle one of the samples' differences decides, and the largest stands beside it:
 * steps are signs, so where a gradient is within rounding of 0 the paths of a sample part, in exact arithmetic as in either party's.
 */
export function agreement(kind: WorkloadRequest['kind'], a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number): string {
  const largest = difference(a, b);
  if (kind !== 'attack' || Number.isNaN(largest)) return `results ${largest <= tolerance ? 'agree' : 'DIFFER'} (${largest.toExponential(1)} apart)`;
  const middle = median(Array.from(a, (value, i) => difference([value], [b[i]!])));
  return `results ${middle <= tolerance ? 'agree' : 'DIFFER'} (half of the samples ${middle.toExponential(1)} apart or less, the worst ${largest.toExponential(1)})`;
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

/**
 * Measures one workload with several parties, the first of which is the yardstick. Each party first does a few units from the same initial
 * state, whose results are compared; then the parties take turns, so that a disturbance of the machine meets all of them.
 */
export async function compare(request: WorkloadRequest, parties: readonly PartyProcess[], options: CompareOptions): Promise<BenchRow[]> {
  const { turnMilliseconds, budgetSeconds, checkUnits, tolerance, processorTime, signal, onProgress } = options;
  const name = workloadName(request);
  const contenders: Contender[] = [];
  const failed: BenchRow[] = [];
  for (const party of parties) {
    onProgress(`${name}: ${party.entry.name}`);
    try {
      const { opened } = await party.ask({ call: 'open', workload: request });
      if (opened !== true) continue;
      const checked = (await party.ask({ call: 'run', units: checkUnits })).milliseconds / checkUnits;
      const result = (await party.ask({ call: 'result' })).result!;
      // The check compiled everything; a second run says how many units fill a turn, unless one unit clearly does.
      const milliseconds = checked > 10 * turnMilliseconds ? checked : (await party.ask({ call: 'run', units: 1 })).milliseconds;
      const units = Math.min(64, Math.max(1, Math.round(turnMilliseconds / milliseconds)));
      contenders.push({ party, result, times: [], processor: [], units, turn: units * milliseconds });
    } catch (error) {
      if (party === parties[0]) throw error;
      const note = `failed: ${(error as Error).message.split('\n')[0]!.slice(0, 160)}`;
      failed.push({ name, subject: party.entry.name, unit: 'ms', median: NaN, min: NaN, max: NaN, ratio: null, note });
    }
  }
  const secondsOfRound = contenders.reduce((sum, { turn }) => sum + turn, 0) / 1000;
  const rounds = Math.max(1, Math.min(options.rounds, Math.floor(budgetSeconds / secondsOfRound)));
  for (let round = 0; round < rounds; round++) {
    for (const { party, units, times, processor } of contenders) {
      signal.throwIfAborted();
      onProgress(`${name}: round ${round + 1} of ${rounds}, ${party.entry.name}`);
      const answer = await party.ask({ call: 'run', units });
      times.push(answer.milliseconds / units);
      processor.push(answer.processor / units);
    }
  }
  const own = contenders[0]!;
  const rows = contenders.flatMap((contender) => {
    const ratioOf = (kind: 'times' | 'processor'): number => median(contender[kind].map((time, round) => time / own[kind][round]!));
    const note = agreement(request.kind, own.result, contender.result, tolerance);
    const subject = contender.party.entry.name;
    return [
      row(name, subject, 'ms', contender.times, { ratio: ratioOf('times'), ...(contender !== own && { note }) }),
      ...(processorTime ? [row(`${name}, processor time`, subject, 'cpu ms', contender.processor, { ratio: ratioOf('processor') })] : []),
    ];
  });
  for (const { party } of contenders) await party.ask({ call: 'close' });
  return [...rows, ...failed];
}
