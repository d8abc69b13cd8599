import { createHash, randomBytes } from 'node:crypto';
import { constants, write, type Stats } from 'node:fs';
import { access, open, readdir, readlink, realpath, rename, rm, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LinbpError } from '../errors.js';
import { removeAtExit, removeEmptyAtExit } from './atExit.js';
import { linkStatOf, makeFolders, statOf } from './folders.js';
import { isRunning } from './lock.js';
import { quotedPath } from '../quote.js';
import { systemReason } from './read.js';

/** Work on one file by its path or its place on the disk: the last that was asked for. */
const waiting = new Map<string, Promise<void>>();

/** Writes to one file happen one after another, in the order of the calls. */
function inTurn(key: string, work: () => Promise<void>): Promise<void> {
  const before = waiting.get(key);
  const result = before === undefined ? work() : before.then(work);
  const ended = result.then(
    () => undefined,
    () => undefined,
  );
  waiting.set(key, ended);
  void ended.then(() => void (waiting.get(key) === ended && waiting.delete(key)));
  return result;
}

/**
 * Writes a file so that a reader, or a machine that loses power, sees either the old content or the whole new content.
 *
 * The bytes go to a temporary file in the same folder (a rename is atomic only within one file system), are flushed
 * to the disk and then renamed over `path`. On failure, and when the process ends in between, the temporary file is
 * removed; those of processes that were killed are removed by the next write into the folder.
 *
 * What lies at `path` keeps its nature: symbolic links are followed, an old file's mode and owner stay, pipes and
 * devices are written to. A file with several hard links is written in place, so that the links stay one file; only
 * there can a kill leave half of the content.
 *
 * Writes to the same path happen in the order of the calls.
 *
 * @param path file to create or replace; missing parent folders are created
 * @param chunks the content: text (written as UTF-8), bytes, or pieces written one after another; bytes must stay as
 * they are until the promise is settled
 * @throws LinbpError `not-writable` naming the path and the system's reason
 */
export function writeFileAtomic(path: string, chunks: string | Uint8Array | readonly Uint8Array[]): Promise<void> {
  const pieces =
    typeof chunks === 'string' ? [Buffer.from(chunks, 'utf8')] : chunks instanceof Uint8Array ? [chunks] : chunks;
  return inTurn(resolve(String(path)), () => writeNow(path, pieces));
}

async function writeNow(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  try {
    const old = await statOf(path);
    if (old?.isDirectory() === true) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (old !== undefined && isStream(path, old)) await writeStream(path, pieces);
    else await replaceFile(await destination(resolve(path)), old, pieces);
  } catch (cause) {
    throw notWritable(`cannot write ${quotedPath(path)}: ${systemReason(cause)}`, path, cause);
  }
}

/**
 * Creates `folder` and proves that files can be written in it, so that a long run is refused before it starts.
 *
 * @throws LinbpError `not-writable` naming the folder and the system's reason
 */
export async function ensureWritableFolder(folder: string): Promise<void> {
  const probe = temporaryName(join(resolve(folder), 'probe'));
  const settled = removeAtExit(probe);
  try {
    // A run that fails before it writes leaves none behind.
    (await makeFolders(resolve(folder))).forEach(removeEmptyAtExit);
    await (await open(probe, 'wx')).close();
  } catch (cause) {
    throw notWritable(`cannot write in folder ${quotedPath(folder)}: ${systemReason(cause)}`, folder, cause);
  } finally {
    await removeQuietly(probe);
    settled();
  }
  await removeLeftovers(resolve(folder));
}

/**
 * Proves that a file can be written in the place of `path`, whose folder is created.
 *
 * @throws LinbpError `not-writable` naming the path, or the folder and the system's reason
 */
export async function ensureWritableFile(path: string): Promise<void> {
  try {
    const old = await statOf(path);
    if (old?.isDirectory() === true) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (old !== undefined) await access(path, constants.W_OK);
    if (old !== undefined && isStream(path, old)) return;
    await ensureWritableFolder(dirname(await destination(resolve(path))));
  } catch (cause) {
    if (cause instanceof LinbpError) throw cause;
    throw notWritable(`cannot write ${quotedPath(path)}: ${systemReason(cause)}`, path, cause);
  }
}

/** What a shell passes as `/dev/stdout` or `/dev/fd/3`. Other files below `/dev`, as in `/dev/shm`, are files. */
const opened = /^\/dev\/(std(in|out|err)|fd\/\d+)$|^\/proc\/(self|thread-self|\d+)(\/task\/\d+)?\/fd\/\d+$/;

/** Pipes, devices and sockets; and descriptors that are open, even of files. */
const isStream = (path: string, stat: Stats): boolean => !stat.isFile() || opened.test(resolve(path));

async function writeStream(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  // One's own descriptors are open already, and a socket among them could not be opened again.
  const own = /^\/(?:dev|proc\/self)\/fd\/(\d+)$/.exec(resolve(path).replace(/^\/dev\/std(out|err)$/, stdDescriptor));
  if (own !== null) {
    for (const piece of pieces) await writeFully(toDescriptor(Number(own[1])), piece);
    return;
  }
  // Opening a pipe waits for a reader, maybe for ever; without waiting it fails where there is none.
  const probe = await open(path, constants.O_WRONLY | constants.O_APPEND | (constants.O_NONBLOCK ?? 0));
  try {
    const handle = await open(path, constants.O_WRONLY | constants.O_APPEND);
    try {
      for (const piece of pieces) await writeFully(handle, piece);
    } finally {
      await handle.close();
    }
  } finally {
    await probe.close();
  }
}

const stdDescriptor = (_: string, name: string): string => `/dev/fd/${name === 'out' ? 1 : 2}`;

/** Where a path leads through symbolic links, the last of which may point to a file that is not there yet. */
async function destination(path: string): Promise<string> {
  for (let at = path, links = 0; ; links++) {
    if ((await linkStatOf(at))?.isSymbolicLink() !== true) return at;
    if (links === 40) throw Object.assign(new Error(), { code: 'ELOOP' });
    at = resolve(await realpath(dirname(at)), await readlink(at));
  }
}

async function replaceFile(target: string, old: Stats | undefined, pieces: readonly Uint8Array[]): Promise<void> {
  const folder = dirname(target);
  const temporary = temporaryName(target);
  const settled = removeAtExit(temporary);
  let handle: FileHandle | undefined;
  try {
    await makeFolders(resolve(folder));
    await removeLeftovers(folder);
    // The folder would let us replace a file that its owner has protected.
    if (old !== undefined) await access(target, constants.W_OK);
    handle = await open(temporary, 'wx');
    if (old !== undefined) await keepNature(handle, old);
    for (const piece of pieces) await writeFully(handle, piece);
    await handle.sync();
    const written = handle;
    handle = undefined;
    await written.close();
    if (old !== undefined && old.nlink > 1) await inTurn(`${old.dev}:${old.ino}`, () => writeInPlace(target, pieces));
    else await rename(temporary, target);
  } finally {
    await handle?.close();
    await removeQuietly(temporary);
    settled();
  }
  await syncFolder(folder);
}

async function keepNature(handle: FileHandle, old: Stats): Promise<void> {
  try {
    if (process.getuid?.() === 0) await handle.chown(old.uid, old.gid);
    await handle.chmod(old.mode & 0o7777);
  } catch {
    // Some file systems have neither; the content is what matters.
  }
}

/** For hard links, once the content was written beside it and so fits on the disk. */
async function writeInPlace(target: string, pieces: readonly Uint8Array[]): Promise<void> {
  const handle = await open(target, 'r+');
  try {
    await handle.truncate(0);
    for (const piece of pieces) await writeFully(handle, piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 6);
const temporaryPattern = /^\..*\.([0-9a-f]{6})-(\d{1,10})-[0-9a-f]{8}\.tmp$/;

/** Hidden, in the same folder, saying which process of which machine it belongs to. */
export function temporaryName(target: string): string {
  const name = Buffer.from(basename(target)).subarray(0, 120).toString('utf8').replaceAll('\ufffd', '');
  return join(dirname(target), `.${name}.${host}-${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
}

const swept = new Set<string>();

/**
 * Removes temporary files and folders of processes of this machine that are gone. Once per folder: it has to be listed
 * for that.
 */
async function removeLeftovers(folder: string): Promise<void> {
  if (swept.has(folder)) return;
  swept.add(folder);
  try {
    for (const name of await readdir(folder)) {
      const [, machine, pid] = temporaryPattern.exec(name) ?? [];
      if (machine === host && !isRunning(Number(pid))) await removeQuietly(join(folder, name));
    }
  } catch {
    // What cannot be listed is not ours to tidy.
  }
}

/** What bytes are written to: a file, or a descriptor that is open already. */
interface Sink {
  write(bytes: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>;
}

const writeDescriptor = promisify(write);
const toDescriptor = (descriptor: number): Sink => ({
  write: (bytes, offset, length) => writeDescriptor(descriptor, bytes, offset, length, null),
});

// write(2) may write less than asked, and never more than 2 GiB at once.
async function writeFully(sink: Sink, bytes: Uint8Array): Promise<void> {
  const limit = 1 << 30;
  let done = 0;
  while (done < bytes.length) {
    try {
      done += (await sink.write(bytes, done, Math.min(bytes.length - done, limit))).bytesWritten;
    } catch (cause) {
      // A pipe that does not block and is full: its reader needs a moment.
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') throw cause;
      await setTimeout(5);
    }
  }
}

// The rename itself is durable only once the folder is flushed; Windows cannot open folders, and then it does not
// matter.
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // The file is in place; only its survival of a power cut within seconds is in doubt.
  }
}

async function removeQuietly(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    // The error that led here is the one to report.
  }
}

const notWritable = (message: string, field: string, cause: unknown): LinbpError =>
  new LinbpError('not-writable', message, { field, cause });
