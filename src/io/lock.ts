import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { LinbpError } from '../errors.js';
import { quotedPath } from '../quote.js';
import { removeAtExit, removeEmptyAtExit } from './atExit.js';
import { makeFolders } from './folders.js';
import { readJson, systemReason } from './read.js';

/** The file that marks a folder as in use. */
const lockName = '.linbp.lock';

interface Owner {
  readonly pid: number;
  readonly host: string;
  /**
   * When the process began, as the system counts it, so that a later process of the same number is not taken for it.
   */
  readonly began: string;
}

/** Whether a process of this machine exists, also one of another user. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Field 22 of `/proc/PID/stat`; the name before it may hold spaces and parentheses. */
async function beganAt(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

const lives = async ({ pid, host, began }: Owner): Promise<boolean> =>
  // Of another machine nothing is known; its lock counts.
  host !== hostname() || (isRunning(pid) && (await beganAt(pid)) === began);

/**
 * Takes the lock of a run's folder, or of a single output file, for this process. It is a file that names the process;
 * one that a killed process left behind is taken over.
 *
 * @param path the folder, which is created, or the file
 * @param what `folder` puts `.linbp.lock` into it, `file` puts `.NAME.lock` beside it
 * @returns a function that gives the lock back; the end of the process does so too
 * @throws LinbpError `not-writable` naming the process that holds it
 */
export async function takeLock(path: string, what: 'folder' | 'file' = 'folder'): Promise<() => Promise<void>> {
  const target = resolve(path);
  const folder = what === 'folder' ? target : dirname(target);
  const lock = join(folder, what === 'folder' ? lockName : `.${basename(target)}.lock`);
  const fresh = `${lock}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const owner: Owner = { pid: process.pid, host: hostname(), began: await beganAt(process.pid) };
  const content = JSON.stringify(owner);
  const written = removeAtExit(fresh);
  try {
    const made = await makeFolders(resolve(folder));
    made.forEach(removeEmptyAtExit);
    // Written beside it and linked into place, so that nobody ever reads half of it.
    await writeFile(fresh, content, { flag: 'wx' });
    for (let attempt = 0; attempt < 10; attempt++) {
      // Noted before it is there, so that no end of the process comes in between.
      const kept = removeAtExit(lock, content);
      if (await placed(fresh, lock).catch(rethrownAfter(kept)))
        return releaseOf(lock, kept, made.length > 0 ? folder : undefined);
      kept();
      const holder = await readOwner(lock);
      if (holder === undefined) continue;
      if (await lives(holder)) throw held(path, holder);
      await takeAway(lock, fresh);
    }
    throw new LinbpError('not-writable', `cannot lock ${quotedPath(path)}`, { field: path });
  } catch (cause) {
    if (cause instanceof LinbpError) throw cause;
    const message = `cannot write in ${quotedPath(folder)}: ${systemReason(cause)}`;
    throw new LinbpError('not-writable', message, { field: path, cause });
  } finally {
    await rm(fresh, { force: true });
    written();
  }
}

const rethrownAfter =
  (clean: () => void) =>
  (error: unknown): never => {
    clean();
    throw error;
  };

/**
 * What gives a lock back, once.
 *
 * @param folder made for the lock, and removed where nothing else is in it
 */
function releaseOf(lock: string, kept: () => void, folder: string | undefined): () => Promise<void> {
  let released: Promise<void> | undefined;
  const release = async (): Promise<void> => {
    await rm(lock, { force: true });
    kept();
    if (folder !== undefined) await removeIfEmpty(folder);
  };
  return () => (released ??= release());
}

/** A run that was refused leaves no folder behind. */
async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch {
    // Something was written into it.
  }
}

async function placed(fresh: string, lock: string): Promise<boolean> {
  try {
    await link(fresh, lock);
    return true;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw cause;
    // A file system without hard links.
    try {
      await writeFile(lock, await readFile(fresh), { flag: 'wx' });
      return true;
    } catch (second) {
      if ((second as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw second;
    }
  }
}

/** Who holds a lock: undefined where it is gone meanwhile, nobody where it says nothing that can be read. */
async function readOwner(lock: string): Promise<Owner | undefined> {
  const nobody = { pid: 2 ** 30, host: hostname(), began: '' };
  try {
    const value = (await readJson(lock, 4096)) as Partial<Owner> | null;
    const valid = Number.isSafeInteger(value?.pid) && value!.pid! > 0 && typeof value!.host === 'string';
    return valid ? { pid: value!.pid!, host: value!.host!, began: String(value!.began) } : nobody;
  } catch (error) {
    if (!(error instanceof LinbpError)) throw error;
    if (error.code === 'bad-file') return nobody;
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    // A socket.
    if (code === 'ENXIO') return nobody;
    throw error;
  }
}

/** Removes a dead lock; where another process has replaced it meanwhile, the living one is put back. */
async function takeAway(lock: string, fresh: string): Promise<void> {
  const aside = `${fresh}.old`;
  try {
    await rename(lock, aside);
  } catch {
    return;
  }
  const moved = await readOwner(aside);
  if (moved !== undefined && (await lives(moved))) await placed(aside, lock);
  await rm(aside, { force: true });
}

function held(path: string, { pid, host }: Owner): LinbpError {
  const where = host === hostname() ? '' : ` on ${host}`;
  return new LinbpError(
    'not-writable',
    `${quotedPath(path)} is in use by process ${pid}${where}; wait for it or give another --out`,
    { field: path },
  );
}
