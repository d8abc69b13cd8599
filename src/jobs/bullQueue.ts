import type { Job as BullJob, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { LinbpError } from '../errors.js';
import { jobData, jobId, readJob } from './description.js';
import type { Job } from './description.js';
import type { FailedJob, JobFailure, JobQueue, QueueState } from './queue.js';
import { answered, openRedis, optionalPackage, queueName, shownUrl } from './redis.js';

/** The key that says that a task was taken back; submitters that are away for longer than the seconds go on. */
const takenBackKey = (task: string): string => `${queueName}:taken-back:${task}`;
const takenBackSeconds = 86_400;

/** Jobs of a queue that are looked at together. */
const page = 1000;

/** What a worker wrote about a job that failed for good. */
export function failureOf(reason: string | undefined): JobFailure {
  try {
    const { code, message, field } = JSON.parse(reason ?? '') as JobFailure;
    if (typeof code === 'string' && typeof message === 'string')
      return { code, message, ...(typeof field === 'string' && { field }) };
  } catch {
    // An error of BullMQ's own.
  }
  return { code: 'internal', message: reason ?? 'no reason given' };
}

/** A failed job, where it is one of linbp's. */
function failedJob(job: BullJob): FailedJob | undefined {
  try {
    return { job: readJob(job.name, job.data), failure: failureOf(job.failedReason) };
  } catch (error) {
    if (error instanceof LinbpError) return undefined;
    throw error;
  }
}

/** Jobs of a task in these states. */
async function jobsOf(queue: Queue, task: string, states: ('waiting' | 'failed' | 'completed')[]): Promise<BullJob[]> {
  const found: BullJob[] = [];
  for (let from = 0; ; from += page) {
    const jobs = (await queue.getJobs(states, from, from + page - 1)) as (BullJob | undefined)[];
    if (jobs.length === 0) return found;
    for (const job of jobs) if ((job?.data as { t?: unknown } | undefined)?.t === task) found.push(job!);
  }
}

/** A connection to BullMQ, for submitters and for `linbp jobs`. */
export class BullQueue implements JobQueue {
  constructor(
    readonly bull: Queue,
    readonly shown: string,
    private readonly client: Redis,
  ) {}

  private ask<T>(answer: Promise<T>): Promise<T> {
    return answered(this.shown, answer);
  }

  async add(jobs: readonly Job[]): Promise<void> {
    await this.ask(
      this.bull.addBulk(jobs.map((job) => ({ name: job.kind, data: jobData(job), opts: { jobId: jobId(job) } }))),
    );
  }

  async failures(task: string): Promise<readonly FailedJob[]> {
    const jobs = await this.ask(jobsOf(this.bull, task, ['failed']));
    return jobs.map(failedJob).filter((each) => each !== undefined);
  }

  async forgotten(jobs: readonly Job[]): Promise<Job[]> {
    const states = await this.ask(Promise.all(jobs.map((job) => this.bull.getJobState(jobId(job)))));
    const gone = jobs.filter((_, i) => states[i] === 'unknown' || states[i] === 'completed');
    // A job that counts as done would not be added again.
    const done = jobs.filter((_, i) => states[i] === 'completed');
    await this.ask(Promise.all(done.map((job) => this.bull.remove(jobId(job)))));
    return gone;
  }

  async state(): Promise<QueueState> {
    const [counts, workers] = await this.ask(
      Promise.all([this.bull.getJobCounts('waiting', 'active', 'failed'), this.bull.getWorkersCount()]),
    );
    return { waiting: counts['waiting'] ?? 0, active: counts['active'] ?? 0, failed: counts['failed'] ?? 0, workers };
  }

  async begin(task: string): Promise<void> {
    await this.ask(this.client.del(takenBackKey(task)));
  }

  async takenBack(task: string): Promise<boolean> {
    return (await this.ask(this.client.exists(takenBackKey(task)))) > 0;
  }

  /** Takes a task back: its submitters end, and no job of it waits any more. Returns the number of jobs removed. */
  async takeBack(task: string): Promise<number> {
    await this.ask(this.client.set(takenBackKey(task), '1', 'EX', takenBackSeconds));
    return this.cancel(task);
  }

  async cancel(task: string): Promise<number> {
    const jobs = await this.ask(jobsOf(this.bull, task, ['waiting']));
    const removed = await this.ask(Promise.all(jobs.map((job) => this.bull.remove(job.id!))));
    return removed.filter((count) => count > 0).length;
  }

  /** Lets jobs of a task that failed for good be tried again. Returns their number. */
  async retry(task: string): Promise<number> {
    const failed = await this.ask(jobsOf(this.bull, task, ['failed']));
    await this.ask(Promise.all(failed.map((job) => job.retry('failed'))));
    return failed.length;
  }

  /** Removes all jobs of a task that nobody works on, whatever became of them. Returns their number. */
  async forget(task: string): Promise<number> {
    await this.takeBack(task);
    const jobs = await this.ask(jobsOf(this.bull, task, ['failed', 'completed']));
    await this.ask(Promise.all(jobs.map((job) => this.bull.remove(job.id!))));
    return jobs.length;
  }

  changed(milliseconds: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  async close(): Promise<void> {
    // Where the server is away, its farewell is not waited for.
    await Promise.race([this.bull.close().catch(() => undefined), this.changed(2000)]);
    this.client.disconnect();
  }
}

/** Connects to the queue. Throws as {@link openRedis}. */
export async function openBullQueue(url: string): Promise<BullQueue> {
  const { Queue } = await optionalPackage('bullmq', () => import('bullmq'));
  const client = await openRedis(url);
  const bull = new Queue(queueName, { connection: client });
  bull.on('error', () => undefined);
  return new BullQueue(bull, shownUrl(url), client);
}
