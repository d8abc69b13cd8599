import { randomBytes } from 'node:crypto';
import { link, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { check, LinbpError } from '../errors.js';
import { ensureWritableFolder, writeFileAtomic } from '../io/atomic.js';
import { removeAtExit } from '../io/atExit.js';
import { makeFolders } from '../io/folders.js';
import { readRange, systemReason, withRegularFile } from '../io/read.js';
import { quotedPath } from '../quote.js';
import type { JobStore } from './store.js';

/** System errors that say that nothing is there. */
const absent = (error: unknown): boolean => {
  const cause = error instanceof LinbpError ? error.cause : error;
  return ['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException | undefined)?.code ?? '');
};

/**
 * A store in a folder, which all machines see at the same time, such as one on NFS.
 *
 * @throws LinbpError `not-writable` where files cannot be written there
 */
// eslint-disable-next-line max-lines-per-function -- a closure that returns the store's methods, each short
export async function directoryStore(folder: string): Promise<JobStore> {
  const root = resolve(folder);
  const shown = quotedPath(folder);
  await ensureWritableFolder(root);
  const unreachable = (cause: unknown): LinbpError =>
    new LinbpError('unreachable', `the store ${shown} cannot be read: ${systemReason(cause)}`, {
      field: 'store',
      cause,
    });
  return {
    shown,
    async read(name, maxBytes) {
      try {
        return await withRegularFile(join(root, name), ({ handle, size }) => {
          const message = `${name} of the store ${shown} has ${size} bytes, expected at most ${maxBytes}`;
          check(size <= maxBytes, 'limit-exceeded', message, 'store');
          return readRange(handle, 0, size, name);
        });
      } catch (error) {
        if (absent(error)) return undefined;
        if (error instanceof LinbpError && error.code !== 'missing-file') throw error;
        throw unreachable(error instanceof LinbpError ? error.cause : error);
      }
    },
    async write(name, bytes) {
      await writeFileAtomic(join(root, name), bytes);
    },
    async create(name, bytes) {
      const path = join(root, name);
      const fresh = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
      const settled = removeAtExit(fresh);
      try {
        await makeFolders(dirname(path));
        await writeFile(fresh, bytes, { flag: 'wx' });
        await link(fresh, path);
        return true;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
        throw new LinbpError('not-writable', `cannot write in the store ${shown}: ${systemReason(cause)}`, {
          field: 'store',
          cause,
        });
      } finally {
        await rm(fresh, { force: true });
        settled();
      }
    },
    async list(below) {
      try {
        return (await readdir(join(root, below))).filter((name) => !name.startsWith('.'));
      } catch (error) {
        if (absent(error)) return [];
        throw unreachable(error);
      }
    },
    async remove(name) {
      try {
        await rm(join(root, name), { force: true });
      } catch (cause) {
        if (absent(cause)) return;
        throw new LinbpError('not-writable', `cannot remove from the store ${shown}: ${systemReason(cause)}`, {
          field: 'store',
          cause,
        });
      }
    },
    close: () => undefined,
  };
}
