import { readFileSync, rmdirSync, rmSync } from 'node:fs';

/** What is removed, and only where it has this content, if one is given. */
interface Leftover {
  readonly path: string;
  readonly content: string | undefined;
}

const leftovers = new Set<Leftover>();
const folders: string[] = [];

function quietly(remove: () => void): void {
  try {
    remove();
  } catch {
    // Nobody is left to hear of it; the next run tidies up.
  }
}

// The only synchronous file calls of linbp's files: when the process ends, nothing can be waited for any more.
process.on('exit', () => {
  for (const { path, content } of leftovers)
    quietly(() => {
      if (content === undefined || readFileSync(path, 'utf8') === content)
        rmSync(path, { recursive: true, force: true });
    });
  for (const folder of folders.reverse()) quietly(() => rmdirSync(folder));
});

/**
 * Has a temporary file or folder removed should the process end before the work on it does, as at a second Ctrl-C.
 *
 * @param content remove the file only where it has this content, since it may be another process's by then
 * @returns a function to call when the work is done
 */
export function removeAtExit(path: string, content?: string): () => void {
  const leftover = { path, content };
  leftovers.add(leftover);
  return () => void leftovers.delete(leftover);
}

/** Has a folder that was made for a run removed with the process, where nothing is in it by then. */
export function removeEmptyAtExit(folder: string): void {
  folders.push(folder);
}

const toFinish = new Set<Promise<unknown>>();

/**
 * Has a second Ctrl-C wait for some work, such as the writing of a checkpoint's files, which belong together. Only
 * short work belongs here. Returns the work's own promise.
 */
export function finishFirst<T>(work: Promise<T>): Promise<T> {
  const settled = work.then(
    () => undefined,
    () => undefined,
  );
  toFinish.add(settled);
  void settled.then(() => toFinish.delete(settled));
  return work;
}

/** Settles when nothing is left that {@link finishFirst} was given. */
export async function workIsFinished(): Promise<void> {
  while (toFinish.size > 0) await Promise.all(toFinish);
}
