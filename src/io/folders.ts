import type { Stats } from 'node:fs';
import { access, lstat, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Whether something is there and can be looked at. */
export const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const orAbsent = (error: unknown): undefined => {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  return undefined;
};

/** What is at a path, or where its symbolic links lead; undefined where nothing is. */
export const statOf = (path: string): Promise<Stats | undefined> => stat(path).catch(orAbsent);

/** {@link statOf} of a symbolic link itself. */
export const linkStatOf = (path: string): Promise<Stats | undefined> => lstat(path).catch(orAbsent);

/**
 * Makes a folder and those above it that are missing, from the outside in. Node's own `recursive` never ends where the
 * system says "no such file" of a folder that it will not make, as in /proc.
 *
 * @returns those that were missing
 */
export async function makeFolders(folder: string): Promise<readonly string[]> {
  const made: string[] = [];
  // Another process that ends may remove an empty one above meanwhile.
  for (let attempt = 1; ; attempt++) {
    const missing: string[] = [];
    for (let at = folder; !(await isThere(at)); at = dirname(at)) missing.unshift(at);
    try {
      for (const each of missing) {
        await mkdir(each).catch(unlessThere);
        made.push(each);
      }
      return made;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === 3) throw error;
    }
  }
}

/** Another process, or another call, may have made it meanwhile. */
const unlessThere = (error: unknown): void => {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
};
