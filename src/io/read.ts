import { constants, type Dirent } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { LinbpError, check } from '../errors.js';
import { quotedPath, quotedValue } from '../quote.js';

/** Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** What every reader of linbp opens: a regular file. Pipes, devices and folders have no size to check against. */
export interface OpenedFile {
  readonly handle: FileHandle;
  /** Bytes. */
  readonly size: number;
  /** Changes when the file is replaced or written. */
  readonly version: string;
}

/** What lies at a path, links followed. Undefined where nothing does, or nothing that can be looked at. */
export async function kindOf(path: string): Promise<'file' | 'folder' | 'other' | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other';
  } catch {
    return undefined;
  }
}

/**
 * Opens a regular file and closes it after use.
 *
 * @throws LinbpError `missing-file` with the system's reason; `bad-file` for folders, pipes and devices; `bad-argument`
 * for what is no path
 */
export async function withRegularFile<T>(path: string, use: (file: OpenedFile) => T | Promise<T>): Promise<T> {
  check(typeof path === 'string', 'bad-argument', `a path must be a string, got ${quotedValue(path)}`, 'path');
  let handle: FileHandle;
  try {
    handle = await open(path, READ);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    const stat = await handle.stat();
    check(stat.isFile(), 'bad-file', `${quotedPath(path)} is not a regular file`, path);
    return await use({ handle, size: stat.size, version: `${stat.size}:${stat.mtimeMs}:${stat.ino}` });
  } finally {
    await handle.close();
  }
}

/** Bytes of an opened file from `position` on. Throws `bad-file` where it ends before. */
export async function readRange(
  handle: FileHandle,
  position: number,
  length: number,
  path: string,
): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 1 << 30), position + done);
    const message = `${quotedPath(path)}: ends after ${position + done} bytes, expected ${position + length}`;
    check(bytesRead > 0, 'bad-file', message, path);
    done += bytesRead;
  }
  return bytes;
}

/** The first bytes of an opened file, fewer where it is shorter. */
export async function firstBytes(handle: FileHandle, count: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  const { bytesRead } = await handle.read(bytes, 0, count, 0);
  return bytes.subarray(0, bytesRead);
}

/**
 * A file's whole content.
 *
 * @param maxBytes the most that such a file can have; a larger one is refused before anything is allocated
 * @throws LinbpError as {@link withRegularFile}; `bad-file` for a larger file
 */
export function readWhole(path: string, maxBytes: number): Promise<Buffer<ArrayBuffer>> {
  return withRegularFile(path, ({ handle, size }) => {
    const message = `${quotedPath(path)} has ${size} bytes, expected at most ${maxBytes}`;
    check(size <= maxBytes, 'bad-file', message, path);
    return readRange(handle, 0, size, path);
  });
}

/** {@link readWhole} as UTF-8 text. */
export async function readText(path: string, maxBytes: number): Promise<string> {
  return (await readWhole(path, maxBytes)).toString('utf8');
}

/** {@link readText} as JSON. Throws `bad-file` where it is not. */
export async function readJson(path: string, maxBytes: number): Promise<unknown> {
  const text = await readText(path, maxBytes);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new LinbpError('bad-file', `${quotedPath(path)}: not valid JSON`, { field: path, cause });
  }
}

/**
 * The sorted entries of a folder.
 *
 * @throws LinbpError `missing-data` where it cannot be read; `bad-file` for a name that is not UTF-8: Node would
 * replace its bytes, and the entry could not be opened
 */
export async function listFolder(path: string): Promise<Dirent[]> {
  let entries: Dirent<Buffer>[];
  try {
    entries = await readdir(path, { withFileTypes: true, encoding: 'buffer' });
  } catch (cause) {
    const message = `cannot read the folder ${quotedPath(path)}: ${systemReason(cause)}`;
    throw new LinbpError('missing-data', message, { field: path, cause });
  }
  const bad = entries.find(({ name }) => !Buffer.from(name.toString('utf8'), 'utf8').equals(name));
  if (bad !== undefined) {
    const shown = bad.name.toString('latin1').replace(/[^ -~]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
    const message = `${quotedPath(path)}: the name ${shown} is not UTF-8; rename it`;
    throw new LinbpError('bad-file', message, { field: path });
  }
  return (await readdir(path, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function unreadable(path: string, cause: unknown): LinbpError {
  const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
  const shown = quotedPath(path);
  const message = missing ? `cannot read ${shown}: no such file` : `cannot read ${shown}: ${systemReason(cause)}`;
  return new LinbpError('missing-file', message, { field: path, cause });
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EMFILE: 'too many open files in this process (ulimit -n)',
  ENFILE: 'too many open files in the system',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is not a folder',
  EEXIST: 'a file is in the way',
  ENXIO: 'nobody reads this pipe',
  EPIPE: 'the reader of the pipe is gone',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  EIO: 'an input/output error',
};

/** The system's reason for an error, in words. */
export function systemReason(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  const words = code === undefined ? undefined : reasons[code];
  return words === undefined ? String(message ?? cause) : `${words} (${code})`;
}
