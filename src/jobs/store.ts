import { check, LinbpError } from '../errors.js';
import { canonicalJson, checkTask, hashOf, isHash, maxTaskBytes } from './description.js';
import type { Job, Task } from './description.js';

/**
 * Where weights, images, descriptions and results lie: content-addressed blobs, and small records by name. Writes are
 * atomic: a reader sees nothing or all of it.
 *
 * Names of records are made by {@link resultName} and {@link planName} from hashes and numbers only.
 *
 * All methods throw LinbpError `unreachable` where the store does not answer and `not-writable` where it takes nothing;
 * both pass, so a worker tries again.
 */
export interface JobStore {
  /** How messages call it; without passwords. */
  readonly shown: string;
  /** The bytes under `name`, or undefined. Throws `limit-exceeded` for more than `maxBytes`. */
  read(name: string, maxBytes: number): Promise<Uint8Array | undefined>;
  /** Writes bytes under `name`, in the place of what is there. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Writes unless something is there. Returns whether it wrote. */
  create(name: string, bytes: Uint8Array): Promise<boolean>;
  /** Last parts of the names that begin with `folder` and a slash. */
  list(folder: string): Promise<string[]>;
  /** Removes what is under `name`; nothing there is fine. */
  remove(name: string): Promise<void>;
  close(): void;
}

/** Most bytes of one blob: the weights of the largest network, or the results of a shard. */
export const maxBlobBytes = 2 ** 31;
const maxRecordBytes = 64 * 1024;

const blobName = (hash: string): string => {
  check(isHash(hash), 'bad-argument', 'a blob is named by its SHA-256', 'hash');
  return `blobs/${hash.slice(0, 2)}/${hash}`;
};

/** Folder of the records of finished jobs of a task. */
export const resultsFolder = (task: string): string => {
  check(isHash(task), 'bad-argument', 'a task is named by its SHA-256', 'task');
  return `results/${task}`;
};

const resultName = ({ task, from, to }: Job): string => `${resultsFolder(task)}/${from}-${to}`;
const planName = (task: string): string => `plans/${resultsFolder(task).slice('results/'.length)}`;

/**
 * Stores bytes under their hash. What is there already is read and compared, so that a damaged copy is replaced.
 *
 * @returns the hash
 */
export async function putBlob(store: JobStore, bytes: Uint8Array): Promise<string> {
  check(
    bytes.length <= maxBlobBytes,
    'limit-exceeded',
    `a blob of ${bytes.length} bytes is too large to store`,
    'blob',
  );
  const hash = hashOf(bytes);
  const name = blobName(hash);
  const there = await store.read(name, maxBlobBytes);
  if (there === undefined || hashOf(there) !== hash) await store.write(name, bytes);
  return hash;
}

/**
 * The bytes of a hash, verified.
 *
 * @param maxBytes the most that such a blob can have
 * @throws LinbpError `missing-file` where there are none, `bad-file` where they are damaged, `limit-exceeded`
 */
export async function getBlob(store: JobStore, hash: string, maxBytes = maxBlobBytes): Promise<Uint8Array> {
  const bytes = await store.read(blobName(hash), maxBytes);
  if (bytes === undefined)
    throw new LinbpError('missing-file', `${store.shown} has no blob ${hash}`, { field: 'store' });
  check(hashOf(bytes) === hash, 'bad-file', `${store.shown}: blob ${hash} is damaged`, 'store');
  return bytes;
}

/** Stores a task and returns its hash. */
export async function putTask(store: JobStore, task: Task): Promise<string> {
  const text = canonicalJson(checkTask(task));
  check(text.length <= maxTaskBytes, 'limit-exceeded', `a description of ${text.length} bytes is too large`, 'task');
  return putBlob(store, Buffer.from(text));
}

/** Reads a task by its hash, checked. Throws as {@link getBlob}, `bad-argument` for what is no task. */
export async function getTask(store: JobStore, hash: string): Promise<Task> {
  const text = Buffer.from(await getBlob(store, hash, maxTaskBytes)).toString('utf8');
  return checkTask(parsed(text));
}

/** Throws `bad-file` for what is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new LinbpError('bad-file', 'a record of the store is not JSON', { field: 'store', cause });
  }
}

/** The adapter that computed a result. */
export interface ResultAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly software: boolean;
}

/** What is known of a finished job beside its result. */
export interface ResultRecord {
  /** Blob with the result. */
  readonly result: string;
  readonly adapter: ResultAdapter;
  /** Host and process that computed it. */
  readonly worker: string;
  /** How long the computation took. */
  readonly seconds: number;
}

/** Says that a job is done. Whoever says so again says the same, but for where and how long. */
export async function putResult(store: JobStore, job: Job, bytes: Uint8Array, about: Omit<ResultRecord, 'result'>) {
  const result = await putBlob(store, bytes);
  await store.write(resultName(job), Buffer.from(canonicalJson({ result, ...about })));
}

/** The record of a finished job; undefined where it is not finished or its record is damaged. */
export async function getResult(store: JobStore, job: Job): Promise<ResultRecord | undefined> {
  const bytes = await store.read(resultName(job), maxRecordBytes);
  if (bytes === undefined) return undefined;
  try {
    const record = JSON.parse(Buffer.from(bytes).toString('utf8')) as ResultRecord;
    const valid =
      isHash(record.result) && typeof record.adapter?.description === 'string' && Number.isFinite(record.seconds);
    return valid ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Ranges of a task that are done, as `from-to`. */
export const listResults = (store: JobStore, task: string): Promise<string[]> => store.list(resultsFolder(task));

/** Takes back that a job is done, where its result turned out to be damaged. */
export const removeResult = (store: JobStore, job: Job): Promise<void> => store.remove(resultName(job));

/** How a task was cut when it was first submitted, so that whoever submits it again cuts it likewise. */
export interface StoredPlan {
  /** Images of the first jobs, whose speed was measured, and how many of these jobs there are. */
  readonly probe: number;
  readonly probes: number;
  /** Images of each other job. */
  readonly shard: number;
}

const isPlan = (value: unknown): value is StoredPlan => {
  if (typeof value !== 'object' || value === null) return false;
  const { probe, probes, shard } = value as StoredPlan;
  return (
    [probe, shard].every((each) => Number.isSafeInteger(each) && each > 0) &&
    Number.isSafeInteger(probes) &&
    probes >= 0
  );
};

/** The plan of a task, where it has one. */
export async function getPlan(store: JobStore, task: string): Promise<StoredPlan | undefined> {
  const bytes = await store.read(planName(task), maxRecordBytes);
  if (bytes === undefined) return undefined;
  const value = parsed(Buffer.from(bytes).toString('utf8'));
  return isPlan(value) ? value : undefined;
}

/** Stores a plan unless another submitter was first, and returns the one that counts. */
export async function settlePlan(store: JobStore, task: string, plan: StoredPlan): Promise<StoredPlan> {
  if (await store.create(planName(task), Buffer.from(canonicalJson(plan)))) return plan;
  return (await getPlan(store, task)) ?? plan;
}

/** Removes the results and the plan of a task; its blobs stay, since others may share them. */
export async function removeTask(store: JobStore, task: string): Promise<number> {
  const names = await listResults(store, task);
  for (const name of names) await store.remove(`${resultsFolder(task)}/${name}`);
  await store.remove(planName(task));
  return names.length;
}
