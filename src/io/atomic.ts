import { createHash, randomBytes } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
  type Stats,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { LinbpError } from '../errors.js';
import { makeFolders } from './folders.js';
import { isRunning } from './lock.js';
import { quotedPath } from '../quote.js';
import { systemReason } from './read.js';

/**
 * Writes a file so that a reader, or a machine that loses power, sees either the old content or the whole new content.
 *
 * The bytes go to a temporary file in the same folder (a rename is atomic only within one file system), are flushed
 * to the disk and then renamed over `path`. The call is synchronous on purpose: no signal handler or other callback
 * of the process can run between its steps. On failure the temporary file is removed; those of processes that were
 * killed are removed by the next write into the folder.
 *
 * What lies at `path` keeps its nature: symbolic links are followed, an old file's mode and owner stay, pipes and
 * devices are written to. A file with several hard links is written in place, so that the links stay one file; only
 * there can a kill leave half of the content.
 *
 * @param path file to create or replace; missing parent folders are created
 * @param chunks the content: text (written as UTF-8), bytes, or pieces written one after another
 * @throws LinbpError `not-writable` naming the path and the system's reason
 */
export function writeFileAtomic(path: string, chunks: string | Uint8Array | readonly Uint8Array[]): void {
  const pieces =
    typeof chunks === 'string' ? [Buffer.from(chunks, 'utf8')] : chunks instanceof Uint8Array ? [chunks] : chunks;
  try {
    const old = statSync(path, { throwIfNoEntry: false });
    if (old?.isDirectory() === true) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (old !== undefined && isStream(path, old)) writeStream(path, pieces);
    else replaceFile(destination(resolve(path)), old, pieces);
  } catch (cause) {
    throw notWritable(`cannot write ${quotedPath(path)}: ${systemReason(cause)}`, path, cause);
  }
}

/**
 * Creates `folder` and proves that files can be written in it, so that a long run is refused before it starts.
 *
 * @throws LinbpError `not-writable` naming the folder and the system's reason
 */
export function ensureWritableFolder(folder: string): void {
  const probe = temporaryName(join(resolve(folder), 'probe'));
  try {
    makeFolders(resolve(folder));
    closeSync(openSync(probe, 'wx'));
  } catch (cause) {
    throw notWritable(`cannot write in folder ${quotedPath(folder)}: ${systemReason(cause)}`, folder, cause);
  } finally {
    removeQuietly(probe);
  }
  removeLeftovers(resolve(folder));
}

/**
 * Proves that a file can be written in the place of `path`, whose folder is created.
 *
 * @throws LinbpError `not-writable` naming the path, or the folder and the system's reason
 */
export function ensureWritableFile(path: string): void {
  try {
    const old = statSync(path, { throwIfNoEntry: false });
    if (old?.isDirectory() === true) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (old !== undefined) accessSync(path, constants.W_OK);
    if (old !== undefined && isStream(path, old)) return;
    ensureWritableFolder(dirname(destination(resolve(path))));
  } catch (cause) {
    if (cause instanceof LinbpError) throw cause;
    throw notWritable(`cannot write ${quotedPath(path)}: ${systemReason(cause)}`, path, cause);
  }
}

/** What a shell passes as `/dev/stdout` or `/dev/fd/3`. Other files below `/dev`, as in `/dev/shm`, are files. */
const opened = /^\/dev\/(std(in|out|err)|fd\/\d+)$|^\/proc\/(self|thread-self|\d+)(\/task\/\d+)?\/fd\/\d+$/;

/** Pipes, devices and sockets; and descriptors that are open, even of files. */
const isStream = (path: string, stat: Stats): boolean => !stat.isFile() || opened.test(resolve(path));

function writeStream(path: string, pieces: readonly Uint8Array[]): void {
  // One's own descriptors are open already, and a socket among them could not be opened again.
  const own = /^\/(?:dev|proc\/self)\/fd\/(\d+)$/.exec(resolve(path).replace(/^\/dev\/std(out|err)$/, stdDescriptor));
  if (own !== null) {
    for (const piece of pieces) writeFully(Number(own[1]), piece);
    return;
  }
  // Opening a pipe waits for a reader, maybe for ever; without waiting it fails where there is none.
  const probe = openSync(path, constants.O_WRONLY | constants.O_APPEND | (constants.O_NONBLOCK ?? 0));
  try {
    const descriptor = openSync(path, constants.O_WRONLY | constants.O_APPEND);
    try {
      for (const piece of pieces) writeFully(descriptor, piece);
    } finally {
      closeSync(descriptor);
    }
  } finally {
    closeSync(probe);
  }
}

const stdDescriptor = (_: string, name: string): string => `/dev/fd/${name === 'out' ? 1 : 2}`;

/** Where a path leads through symbolic links, the last of which may point to a file that is not there yet. */
function destination(path: string): string {
  for (let at = path, links = 0; ; links++) {
    if (lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return at;
    if (links === 40) throw Object.assign(new Error(), { code: 'ELOOP' });
    at = resolve(realpathSync(dirname(at)), readlinkSync(at));
  }
}

function replaceFile(target: string, old: Stats | undefined, pieces: readonly Uint8Array[]): void {
  const folder = dirname(target);
  const temporary = temporaryName(target);
  let descriptor: number | undefined;
  try {
    makeFolders(resolve(folder));
    removeLeftovers(folder);
    // The folder would let us replace a file that its owner has protected.
    if (old !== undefined) accessSync(target, constants.W_OK);
    descriptor = openSync(temporary, 'wx');
    if (old !== undefined) keepNature(descriptor, old);
    for (const piece of pieces) writeFully(descriptor, piece);
    fsyncSync(descriptor);
    closeSync(descriptor);
    descriptor = undefined;
    if (old !== undefined && old.nlink > 1) writeInPlace(target, pieces);
    else renameSync(temporary, target);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
    removeQuietly(temporary);
  }
  syncFolder(folder);
}

function keepNature(descriptor: number, old: Stats): void {
  try {
    if (process.getuid?.() === 0) fchownSync(descriptor, old.uid, old.gid);
    fchmodSync(descriptor, old.mode & 0o7777);
  } catch {
    // Some file systems have neither; the content is what matters.
  }
}

/** For hard links, once the content was written beside it and so fits on the disk. */
function writeInPlace(target: string, pieces: readonly Uint8Array[]): void {
  const descriptor = openSync(target, 'r+');
  try {
    ftruncateSync(descriptor, 0);
    for (const piece of pieces) writeFully(descriptor, piece);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 6);
const temporaryPattern = /^\..*\.([0-9a-f]{6})-(\d{1,10})-[0-9a-f]{8}\.tmp$/;

/** Hidden, in the same folder, saying which process of which machine it belongs to. */
function temporaryName(target: string): string {
  const name = Buffer.from(basename(target)).subarray(0, 120).toString('utf8').replaceAll('\ufffd', '');
  return join(dirname(target), `.${name}.${host}-${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
}

const swept = new Set<string>();

/**
 * Removes temporary files of processes of this machine that are gone. Once per folder: it has to be listed for that.
 */
function removeLeftovers(folder: string): void {
  if (swept.has(folder)) return;
  swept.add(folder);
  try {
    for (const name of readdirSync(folder)) {
      const [, machine, pid] = temporaryPattern.exec(name) ?? [];
      if (machine === host && !isRunning(Number(pid))) removeQuietly(join(folder, name));
    }
  } catch {
    // What cannot be listed is not ours to tidy.
  }
}

// write(2) may write less than asked, and never more than 2 GiB at once.
function writeFully(descriptor: number, bytes: Uint8Array): void {
  const limit = 1 << 30;
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(descriptor, bytes, done, Math.min(bytes.length - done, limit));
    } catch (cause) {
      // A pipe that does not block and is full: its reader needs a moment.
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') throw cause;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
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

const notWritable = (message: string, field: string, cause: unknown): LinbpError =>
  new LinbpError('not-writable', message, { field, cause });
