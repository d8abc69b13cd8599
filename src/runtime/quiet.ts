import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { isMainThread } from 'node:worker_threads';

/** What Dawn says each time that it looks at an adapter of Mesa's, and cannot be told to keep to itself. */
const harmless = /^Warning: maxDynamic\w+ artificially reduced from .*\n?/gm;

let wanted = false;

/**
 * Keeps two warnings of Dawn's about limits off stderr, which its native code writes to directly; everything else
 * comes through. For programs that own their process, such as the command line: for the moment of the call descriptor 2
 * is another file. Only on Linux, and where stderr is a terminal or a pipe, which can be opened again.
 */
export function hideLimitWarnings(): void {
  wanted = true;
}

/** No device is open yet, so no thread of a driver can open a file while descriptor 2 is closed. */
export function stopHiding(): void {
  wanted = false;
}

function reopenable(): boolean {
  if (!wanted || process.platform !== 'linux' || !isMainThread || process.env['LINBP_DEBUG'] === '1') return false;
  try {
    return isatty(2) || fstatSync(2).isFIFO();
  } catch {
    return false;
  }
}

/** Calls a function whose native part may warn about limits. */
export function quietly<T>(call: () => T): T {
  if (!reopenable()) return call();
  let folder: string | undefined;
  let saved: number;
  try {
    // A descriptor of its own for the same terminal or pipe.
    saved = openSync('/proc/self/fd/2', 'a');
    folder = mkdtempSync(join(tmpdir(), 'linbp-'));
  } catch {
    return call();
  }
  const path = join(folder, 'stderr');
  try {
    replace(path);
    return call();
  } finally {
    replace(`/proc/self/fd/${saved}`);
    closeSync(saved);
    const rest = readFileSync(path, 'utf8').replace(harmless, '');
    if (rest !== '') writeSync(2, rest);
    rmSync(folder, { recursive: true });
  }
}

/** Makes descriptor 2, the lowest that is free as soon as it is closed, another file. */
function replace(path: string): void {
  closeSync(2);
  openSync(path, 'a');
}
