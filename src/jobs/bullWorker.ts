import type { Job as BullJob, Worker } from 'bullmq';
import { LinbpError } from '../errors.js';
import { jobId, readJob } from './description.js';
import type { Job } from './description.js';
import { JobLimit } from './jobLimit.js';
import { pauseAfter } from './localQueue.js';
import type { Computer, JobFailure, Outcome } from './queue.js';
import { openRedis, optionalPackage, queueName } from './redis.js';

/** A computer that can be asked to stop what it is doing. */
export interface StoppableComputer extends Computer {
  abort(): void;
}

/** Settings of {@link serveQueue}. */
export interface ServeOptions {
  /** One for each GPU; each does one job at a time. */
  readonly computers: readonly StoppableComputer[];
  /** Seconds without a sign of life after which a worker counts as dead and its job goes to another one. */
  readonly stalledAfter: number;
  /** Seconds that jobs at work may take to finish after the signal; then they go back to the queue. */
  readonly grace: number;
  readonly signal: AbortSignal;
  /** Ends after this many jobs; without end unless given. */
  readonly jobs?: number;
  readonly onJob?: (job: Job, outcome: Outcome, seconds: number) => void;
  readonly onNote?: (text: string) => void;
}

/** Finished jobs that stay in Redis to be looked at; their results are in the store. */
const keptDone = 1000;
const keptFailed = 100_000;

/** Dead workers never count against a job. */
const anyNumber = 2 ** 30;

/** A job as linbp states it, or why it is none. */
function parsedJob(job: BullJob): Job | JobFailure {
  try {
    const parsed = readJob(job.name, job.data);
    if (job.id === jobId(parsed)) return parsed;
    return { code: 'bad-argument', message: 'the id is not the hash of the description', field: 'id' };
  } catch (error) {
    if (!(error instanceof LinbpError)) throw error;
    return { code: error.code, message: error.message };
  }
}

/** How a worker takes jobs, of which one is at work at a time. */
const settingsOf = (stalledAfter: number) =>
  ({
    concurrency: 1,
    lockDuration: 1000 * stalledAfter,
    stalledInterval: 500 * stalledAfter,
    maxStalledCount: anyNumber,
    removeOnComplete: { count: keptDone },
    removeOnFail: { count: keptFailed },
    drainDelay: 2,
  }) as const;

/** Settles when a signal fires. */
const firing = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** Says once what keeps a worker from the queue, until it is at work again. */
function noteErrors(worker: Worker, onNote: ServeOptions['onNote']): void {
  let away = false;
  worker.on('error', (error) => {
    if (!away) onNote?.(`queue: ${error.message.split('\n')[0] ?? ''}`);
    away = true;
  });
  worker.on('active', () => (away = false));
}

/**
 * Does jobs of the queue until the signal fires. What the machine is at fault for goes back to the queue after a pause,
 * measured here, so that no clock of another machine matters; a job that is itself at fault fails, with its error.
 *
 * @throws LinbpError `unreachable` where the queue does not answer at the beginning; `missing-package`
 */
export async function serveQueue(url: string, options: ServeOptions): Promise<void> {
  const { computers, stalledAfter, grace, signal, onJob, onNote, jobs = Infinity } = options;
  const { Worker, UnrecoverableError, WaitingError } = await optionalPackage('bullmq', () => import('bullmq'));
  const client = await openRedis(url);
  const attempts = new Map<string, number>();
  const limit = new JobLimit<Worker>(jobs);
  const stop = new AbortController();
  signal.addEventListener('abort', () => stop.abort(), { once: true });
  if (signal.aborted) stop.abort();
  const stopped = firing(stop.signal);

  const putBack = async (job: BullJob, token: string | undefined): Promise<never> => {
    await job.moveToWait(token);
    throw new WaitingError();
  };

  const handBack = async (job: BullJob, token: string | undefined): Promise<never> => {
    const attempt = (attempts.get(job.id!) ?? 0) + 1;
    if (attempts.size > 10_000) attempts.clear();
    attempts.set(job.id!, attempt);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, pauseAfter(attempt - 1))), stopped]);
    return putBack(job, token);
  };

  const process = (computer: Computer) => async (job: BullJob, token?: string) => {
    const parsed = parsedJob(job);
    if ('code' in parsed) throw new UnrecoverableError(JSON.stringify(parsed));
    if (!limit.begin()) return putBack(job, token);
    const began = performance.now();
    const outcome = await computer.run(parsed);
    onJob?.(parsed, outcome, (performance.now() - began) / 1000);
    if (outcome.state === 'again') {
      limit.giveBack();
      return handBack(job, token);
    }
    attempts.delete(job.id!);
    if (limit.end()) stop.abort();
    if (outcome.state === 'failed') throw new UnrecoverableError(JSON.stringify(outcome.failure));
    return null;
  };

  for (const computer of computers) {
    const worker = new Worker(queueName, process(computer), { connection: client, ...settingsOf(stalledAfter) });
    noteErrors(worker, onNote);
    limit.workers.push(worker);
  }
  await stopped;
  const timer = setTimeout(() => computers.forEach((computer) => computer.abort()), 1000 * grace);
  const closing = Promise.all(limit.workers.map((worker) => worker.close().catch(() => undefined)));
  // Where the server is away, or a job does not stop, the jobs go to others when their time is up.
  await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, 1000 * grace + 10_000).unref())]);
  clearTimeout(timer);
  await Promise.all(computers.map((computer) => computer.close()));
  client.disconnect();
}
