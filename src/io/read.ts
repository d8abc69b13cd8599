import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, statSync, type Dirent } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { LinbpError, check } from '../errors.js';
import { quotedPath } from '../quote.js';

/** Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** What every reader of linbp opens: a regular file. Pipes, devices and folders have no size to check against. */
export interface OpenedFile {
  readonly descriptor: number;
  /** Bytes. */
  readonly size: number;
  /** Changes when the file is replaced or written. */
  readonly version: string;
}

/**
 * Opens a regular file and closes it after use.
 *
 * @throws LinbpError `missing-file` with the system's reason; `bad-file` for folders, pipes and devices
 */
export function withRegularFile<T>(path: string, use: (file: OpenedFile) => T): T {
  let descriptor: number;
  try {
    descriptor = openSync(path, READ);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    const stat = fstatSync(descriptor);
    check(stat.isFile(), 'bad-file', `${quotedPath(path)} is not a regular file`, path);
    return use({ descriptor, size: stat.size, version: `${stat.size}:${stat.mtimeMs}:${stat.ino}` });
  } finally {
    closeSync(descriptor);
  }
}

/** What lies at a path, links followed. Undefined where nothing does, or nothing that can be looked at. */
export function kindOf(path: string): 'file' | 'folder' | 'other' | undefined {
  try {
    const stat = statSync(path);
    return stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other';
  } catch {
    return undefined;
  }
}

/** {@link withRegularFile} for those who read piece by piece without blocking; the caller closes the file. */
export async function openRegularFile(path: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, READ);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new LinbpError('bad-file', `${quotedPath(path)} is not a regular file`, { field: path });
}

/** Bytes of an opened file from `position` on. Throws `bad-file` where it ends before. */
export function readRange(descriptor: number, position: number, length: number, path: string): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  let done = 0;
  while (done < length) {
    const count = readSync(descriptor, bytes, done, Math.min(length - done, 1 << 30), position + done);
    const message = `${quotedPath(path)}: ends after ${position + done} bytes, expected ${position + length}`;
    check(count > 0, 'bad-file', message, path);
    done += count;
  }
  return bytes;
}

/**
 * A file's whole content.
 *
 * @param maxBytes the most that such a file can have; a larger one is refused before anything is allocated
 * @throws LinbpError as {@link withRegularFile}; `bad-file` for a larger file
 */
export function readWhole(path: string, maxBytes: number): Buffer<ArrayBuffer> {
  return withRegularFile(path, ({ descriptor, size }) => {
    const message = `${quotedPath(path)} has ${size} bytes, expected at most ${maxBytes}`;
    check(size <= maxBytes, 'bad-file', message, path);
    return readRange(descriptor, 0, size, path);
  });
}

/** {@link readWhole} as UTF-8 text. */
export function readText(path: string, maxBytes: number): string {
  return readWhole(path, maxBytes).toString('utf8');
}

/** {@link readText} as JSON. Throws `bad-file` where it is not. */
export function readJson(path: string, maxBytes: number): unknown {
  const text = readText(path, maxBytes);
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
export function listFolder(path: string): Dirent[] {
  let entries: Dirent<Buffer>[];
  try {
    entries = readdirSync(path, { withFileTypes: true, encoding: 'buffer' });
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
  return readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
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
