import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { LinbpError } from '../errors.js';

/**
 * Writes a file so that a reader, or a machine that loses power, sees either the old content or the whole new content.
 *
 * The bytes go to a temporary file in the same folder (a rename is atomic only within one file system), are flushed
 * to the disk and then renamed over `path`. The call is synchronous on purpose: no signal handler or other callback
 * of the process can run between its steps. On failure the temporary file is removed.
 *
 * @param path file to create or replace; missing parent folders are created
 * @param chunks the content: text (written as UTF-8), bytes, or pieces written one after another
 * @throws LinbpError `not-writable` naming the path and the system's reason
 */
export function writeFileAtomic(path: string, chunks: string | Uint8Array | readonly Uint8Array[]): void {
  const target = resolve(path);
  const folder = dirname(target);
  const temporary = join(folder, `.${basename(target)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  const pieces =
    typeof chunks === 'string' ? [Buffer.from(chunks, 'utf8')] : chunks instanceof Uint8Array ? [chunks] : chunks;
  let descriptor: number | undefined;
  try {
    mkdirSync(folder, { recursive: true });
    descriptor = openSync(temporary, 'wx');
    for (const piece of pieces) writeFully(descriptor, piece);
    fsyncSync(descriptor);
    closeSync(descriptor);
    descriptor = undefined;
    renameSync(temporary, target);
  } catch (cause) {
    if (descriptor !== undefined) closeSync(descriptor);
    removeQuietly(temporary);
    throw new LinbpError('not-writable', `cannot write ${path}: ${reason(cause)}`, { field: path, cause });
  }
  syncFolder(folder);
}

/**
 * Creates `folder` and proves that files can be written in it, so that a long run is refused before it starts.
 *
 * @throws LinbpError `not-writable` naming the folder and the system's reason
 */
export function ensureWritableFolder(folder: string): void {
  const probe = join(resolve(folder), `.probe.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    mkdirSync(resolve(folder), { recursive: true });
    closeSync(openSync(probe, 'wx'));
  } catch (cause) {
    throw new LinbpError('not-writable', `cannot write in folder ${folder}: ${reason(cause)}`, {
      field: folder,
      cause,
    });
  } finally {
    removeQuietly(probe);
  }
}

/**
 * Proves that a file can be written in the place of `path`, whose folder is created.
 *
 * @throws LinbpError `not-writable` naming the path, or the folder and the system's reason
 */
export function ensureWritableFile(path: string): void {
  ensureWritableFolder(dirname(resolve(path)));
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isFolder) throw new LinbpError('not-writable', `cannot write ${path}: it is a folder`, { field: path });
}

// write(2) may write less than asked, and never more than 2 GiB at once.
function writeFully(descriptor: number, bytes: Uint8Array): void {
  const limit = 1 << 30;
  let done = 0;
  while (done < bytes.length) done += writeSync(descriptor, bytes, done, Math.min(bytes.length - done, limit));
}

// The rename itself is durable only once the folder is flushed; Windows cannot open folders, and then it does not
// matter.
function syncFolder(folder: string): void {
  try {
    const descriptor = openSync(folder, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // The file is in place; only its survival of a power cut within seconds is in doubt.
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The error that led here is the one to report.
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
