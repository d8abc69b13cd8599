import { parentPort } from 'node:worker_threads';
import { LinbpError } from '../errors.js';
import { readWhole } from '../io/read.js';
import { decodeImage } from './images.js';
import { fitImage } from './resize.js';
import type { ImageJob, ImageReply } from './imagePool.js';

/** Larger files are no photographs. */
const MAX_FILE = 256 * 1024 * 1024;

/** Thread body of the image pool: reads, decodes and fits one file per message. */
async function work(job: ImageJob): Promise<void> {
  let reply: ImageReply;
  try {
    const image = fitImage(
      await decodeImage({ bytes: await readWhole(job.path, MAX_FILE), source: job.path }),
      job.fit,
      job.path,
    );
    // A copy of its own, whose buffer can change hands.
    reply = { id: job.id, image: { ...image, data: new Uint8Array(image.data) } };
  } catch (error) {
    const typed = error instanceof LinbpError;
    reply = {
      id: job.id,
      error: {
        code: typed ? error.code : 'missing-file',
        message: typed ? error.message : `cannot read ${job.path}: ${String(error)}`,
      },
    };
  }
  parentPort?.postMessage(reply, 'image' in reply ? [reply.image.data.buffer as ArrayBuffer] : []);
}

parentPort?.on('message', (job: ImageJob) => void work(job));
