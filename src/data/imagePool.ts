import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { LinbpError, type LinbpErrorCode } from '../errors.js';
import type { DecodedImage } from './images.js';
import type { FitOptions } from './resize.js';

/** One file to decode, as sent to a worker. */
export interface ImageJob {
  readonly id: number;
  readonly path: string;
  readonly fit: FitOptions;
}

/** A worker's answer. */
export type ImageReply =
  | { readonly id: number; readonly image: DecodedImage }
  | { readonly id: number; readonly error: { readonly code: LinbpErrorCode; readonly message: string } };

interface Waiting {
  readonly path: string;
  readonly resolve: (image: DecodedImage) => void;
  readonly reject: (error: LinbpError) => void;
}

/** Threads that read, decode and fit image files. */
export class ImagePool {
  readonly #workers: Worker[];
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #failure: LinbpError | undefined;

  /** @param threads number of threads; all cores but one, at most 4, unless given */
  constructor(threads: number = Math.min(Math.max(availableParallelism() - 1, 1), 4)) {
    this.#workers = Array.from({ length: threads }, () => {
      // Options of the process, such as --input-type of a script on the command line, are not for the threads.
      const worker = new Worker(new URL('./imageWorker.js', import.meta.url), { execArgv: [] });
      worker.on('message', (reply: ImageReply) => this.#settle(reply));
      worker.on('error', (cause) =>
        this.#failAll(new LinbpError('internal', `an image thread failed: ${String(cause)}`, { cause })),
      );
      return worker;
    });
  }

  /** Reads, decodes and fits one file. @throws LinbpError `missing-file`, `bad-file`, `bad-shape`, `missing-package` */
  decode(path: string, fit: FitOptions): Promise<DecodedImage> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const job: ImageJob = { id: this.#next++, path, fit };
    return new Promise((resolve, reject) => {
      this.#waiting.set(job.id, { path, resolve, reject });
      this.#workers[job.id % this.#workers.length]!.postMessage(job);
    });
  }

  /** Ends the threads; jobs still waiting fail with `aborted`. */
  async close(): Promise<void> {
    this.#failAll(new LinbpError('aborted', 'the image threads were closed'));
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #settle(reply: ImageReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (waiting === undefined) return;
    if ('image' in reply) waiting.resolve(reply.image);
    else waiting.reject(new LinbpError(reply.error.code, reply.error.message, { field: waiting.path }));
  }

  #failAll(error: LinbpError): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
