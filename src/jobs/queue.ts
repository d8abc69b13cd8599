import type { LinbpErrorCode } from '../errors.js';
import type { Job } from './description.js';

/** Why a job cannot be done: a typed error, which would come again. */
export interface JobFailure {
  readonly code: LinbpErrorCode;
  readonly message: string;
  readonly field?: string;
}

/** A job that failed for good. */
export interface FailedJob {
  readonly job: Job;
  readonly failure: JobFailure;
}

/** What the progress line shows. */
export interface QueueState {
  readonly waiting: number;
  readonly active: number;
  readonly failed: number;
  /** Workers that are alive. */
  readonly workers: number;
}

/**
 * What brings jobs to workers. It is not asked what is done: a job is done when its result is in the store. So whatever
 * a queue forgets or does twice, nothing is lost and nothing counts twice.
 *
 * Methods wait while the queue is unreachable, up to a bound; then they throw LinbpError `unreachable`.
 */
export interface JobQueue {
  /** How messages call it; without passwords. */
  readonly shown: string;
  /** Adds jobs. Those that it holds already, by id, are left as they are. */
  add(jobs: readonly Job[]): Promise<void>;
  /** Jobs of a task that failed for good. */
  failures(task: string): Promise<readonly FailedJob[]>;
  /** Jobs among these that it does not hold, or holds as done: they have to be added again if they have no result. */
  forgotten(jobs: readonly Job[]): Promise<Job[]>;
  state(): Promise<QueueState>;
  /** Tells that a task is wanted, whoever took it back before. */
  begin(task: string): Promise<void>;
  /** Whether somebody took the task back since it was begun. */
  takenBack(task: string): Promise<boolean>;
  /** Removes the jobs of a task that nobody works on yet, and returns their number. */
  cancel(task: string): Promise<number>;
  /** Resolves when something may have changed, or after `milliseconds`. */
  changed(milliseconds: number): Promise<void>;
  /** Lets go of the queue. Local workers end. */
  close(): Promise<void>;
}

/** How an attempt at a job ended. */
export type Outcome =
  | { readonly state: 'done' }
  | { readonly state: 'failed'; readonly failure: JobFailure }
  /** The worker or what it needs is at fault; another attempt may succeed. */
  | { readonly state: 'again'; readonly reason: string; readonly code?: LinbpErrorCode };

/** What does jobs one after another, such as a process with a GPU. */
export interface Computer {
  run(job: Job): Promise<Outcome>;
  /** Ends it; a job at work ends as `again`. */
  close(): Promise<void>;
}
