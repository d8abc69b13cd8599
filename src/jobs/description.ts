import { createHash } from 'node:crypto';
import { check } from '../errors.js';
import { quotedValue } from '../quote.js';
import { packageVersion } from '../version.js';

/** Kinds of work that can be cut into jobs. */
export const jobKinds = ['attack', 'evaluate', 'train', 'reproduce', 'stub'] as const;

/** A kind of work. `stub` computes nothing; it measures queues and stores. */
export type JobKind = (typeof jobKinds)[number];

/**
 * What all jobs of one piece of work share. It lies in the store under the hash of its canonical JSON, so that a queue
 * holds the hash only. A result is a function of this description and the range of the job, and of nothing else.
 */
export interface Task {
  readonly kind: JobKind;
  /** The version of linbp that wrote it; another one may compute other bits. */
  readonly version: string;
  /** Images or cells: ranges of jobs lie in 0 to `count`. */
  readonly count: number;
  /** Settings of the kind, plain JSON. Files are named by the hashes of their content. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** One job: images, or cells, `from` up to `to` of a task. */
export interface Job {
  readonly kind: JobKind;
  /** Hash of the task in the store. */
  readonly task: string;
  readonly from: number;
  readonly to: number;
}

/** Most bytes of a task's description: the hashes of 4 million image blocks would not fit, those of ImageNet do. */
export const maxTaskBytes = 32 * 1024 * 1024;
/** Most images or cells of a task. */
const maxCount = 2 ** 31;

/** SHA-256 in hexadecimal digits. */
export const hashOf = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** Whether a string is a SHA-256 as {@link hashOf} writes it; nothing else is ever made a part of a path. */
export const isHash = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

/**
 * JSON with the keys of objects in alphabetical order and without undefined ones, so that equal descriptions have equal
 * bytes. Numbers keep all their bits.
 *
 * @throws LinbpError `bad-range` for numbers that JSON cannot represent
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    check(
      typeof each !== 'number' || Number.isFinite(each),
      'bad-range',
      `a job's description cannot hold ${String(each)}`,
      'settings',
    );
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    const entries = Object.entries(each).filter(([, content]) => content !== undefined);
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** States a task of this version of linbp. */
export function taskOf(kind: JobKind, count: number, settings: Readonly<Record<string, unknown>>): Task {
  return checkTask({ kind, version: packageVersion(), count, settings });
}

const isWhole = (value: unknown, least: number, most: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws `bad-argument` for keys other than those of a description. */
function expectKeys(value: Record<string, unknown>, keys: readonly string[], what: string): void {
  const other = Object.keys(value).find((key) => !keys.includes(key));
  check(other === undefined, 'bad-argument', `${what} has the unknown field ${quotedValue(other)}`, what);
}

/** A task that came from outside. Throws `bad-argument` naming the field. */
export function checkTask(value: unknown): Task {
  check(isRecord(value), 'bad-argument', `a task must be an object, got ${quotedValue(value)}`, 'task');
  expectKeys(value, ['kind', 'version', 'count', 'settings'], 'task');
  const { kind, version, count, settings } = value;
  check(
    (jobKinds as readonly unknown[]).includes(kind),
    'bad-argument',
    `a task's kind must be ${jobKinds.join(', ')}, got ${quotedValue(kind)}`,
    'kind',
  );
  check(
    typeof version === 'string' && version.length <= 64,
    'bad-argument',
    `a task needs a version, got ${quotedValue(version)}`,
    'version',
  );
  check(
    isWhole(count, 1, maxCount),
    'bad-argument',
    `a task's count must be a whole number from 1 to ${maxCount}, got ${quotedValue(count)}`,
    'count',
  );
  check(
    isRecord(settings),
    'bad-argument',
    `a task's settings must be an object, got ${quotedValue(settings)}`,
    'settings',
  );
  return value as unknown as Task;
}

/** A job that came from outside, as {@link jobData} writes it. Throws `bad-argument` naming the field. */
export function readJob(kind: unknown, data: unknown): Job {
  check(isRecord(data), 'bad-argument', `a job must be an object, got ${quotedValue(data)}`, 'job');
  expectKeys(data, ['t', 'a', 'b'], 'job');
  const { t: task, a: from, b: to } = data;
  check(
    (jobKinds as readonly unknown[]).includes(kind),
    'bad-argument',
    `a job's kind must be ${jobKinds.join(', ')}, got ${quotedValue(kind)}`,
    'kind',
  );
  check(isHash(task), 'bad-argument', `a job must name its task by hash, got ${quotedValue(task)}`, 'task');
  const valid = isWhole(from, 0, maxCount) && isWhole(to, 1, maxCount) && from < to;
  check(
    valid,
    'bad-argument',
    `a job's range must be 0 <= from < to, got ${quotedValue(from)}, ${quotedValue(to)}`,
    'range',
  );
  return { kind: kind as JobKind, task, from, to };
}

/** What a queue holds of a job beside its kind and id. */
export const jobData = ({ task, from, to }: Job): { t: string; a: number; b: number } => ({ t: task, a: from, b: to });

/** A job's id: the first half of the hash of its description. Equal jobs have equal ids wherever they are submitted. */
export const jobId = (job: Job): string => hashOf(canonicalJson({ kind: job.kind, ...jobData(job) })).slice(0, 32);
