import * as fs from 'node:fs';
import { createRequire } from 'node:module';
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
 * may be another file. Only on Linux.
 */
export function hideLimitWarnings(): void {
  wanted = true;
}

/** No device is open yet, so no thread of a driver can open a file while descriptor 2 is closed. */
export function stopHiding(): void {
  wanted = false;
}

/** Calls a function whose native part may warn about limits. */
export function quietly<T>(call: () => T): T {
  if (!wanted || process.platform !== 'linux' || !isMainThread || process.env['LINBP_DEBUG'] === '1') return call();
  switch (kindOfStderr()) {
    case 'reopenable':
      return behindAnotherFile(call);
    case 'file':
      return takenBack(call);
    default:
      return call();
  }
}

/**
 * A terminal, a pipe and a file opened for appending can be opened again and are then as before. A file that was opened
 * as `2> FILE` does cannot: its place in the file is shared with other programs, such as the rest of a shell script.
 */
function kindOfStderr(): 'reopenable' | 'file' | undefined {
  try {
    const stat = fs.fstatSync(2);
    if (isatty(2) || stat.isFIFO()) return 'reopenable';
    if (!stat.isFile()) return undefined;
    return (descriptor().flags & fs.constants.O_APPEND) !== 0 ? 'reopenable' : 'file';
  } catch {
    return undefined;
  }
}

/** Where descriptor 2 stands in its file, and how it was opened. */
function descriptor(): { readonly place: number; readonly flags: number } {
  const text = fs.readFileSync('/proc/self/fdinfo/2', 'utf8');
  const field = (name: string, base: number): number =>
    Number.parseInt(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? '', base);
  return { place: field('pos', 10), flags: field('flags', 8) };
}

function behindAnotherFile<T>(call: () => T): T {
  let folder: string | undefined;
  let saved: number;
  try {
    // A descriptor of its own for the same terminal, pipe or file.
    saved = fs.openSync('/proc/self/fd/2', 'a');
    folder = fs.mkdtempSync(join(tmpdir(), 'linbp-'));
  } catch {
    return call();
  }
  const path = join(folder, 'stderr');
  try {
    replace(path);
    return call();
  } finally {
    replace(`/proc/self/fd/${saved}`);
    fs.closeSync(saved);
    const rest = fs.readFileSync(path, 'utf8').replace(harmless, '');
    if (rest !== '') fs.writeSync(2, rest);
    fs.rmSync(folder, { recursive: true });
  }
}

/** Makes descriptor 2, the lowest that is free as soon as it is closed, another file. */
function replace(path: string): void {
  fs.closeSync(2);
  fs.openSync(path, 'a');
}

/** Takes the warnings that a call wrote out of the file again. */
function takenBack<T>(call: () => T): T {
  const { place } = descriptor();
  try {
    return call();
  } finally {
    try {
      takeBack(place);
    } catch {
      // Then the warnings stay.
    }
  }
}

function takeBack(place: number): void {
  const end = descriptor().place;
  if (end <= place || fs.fstatSync(2).size !== end) return;
  const reader = fs.openSync('/proc/self/fd/2', 'r');
  const bytes = Buffer.alloc(end - place);
  try {
    fs.readSync(reader, bytes, 0, bytes.length, place);
  } finally {
    fs.closeSync(reader);
  }
  const text = bytes.toString();
  const rest = text.replace(harmless, '');
  if (rest === text || !seeker()(place)) return;
  fs.ftruncateSync(2, place);
  if (rest !== '') fs.writeSync(2, rest);
}

/** A function that moves descriptor 2 to a place in its file. Node itself has one only for WebAssembly. */
function seeker(): (place: number) => boolean {
  const { emitWarning } = process;
  // Node warns that WASI is experimental.
  process.emitWarning = () => undefined;
  try {
    const { WASI } = createRequire(import.meta.url)('node:wasi') as typeof import('node:wasi');
    const wasi = new WASI({ version: 'preview1', stderr: 2 });
    const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new (size: object) => unknown } };
    wasi.initialize({ exports: { memory: new WebAssembly.Memory({ initial: 1 }) } });
    const { fd_seek: seek } = wasi.wasiImport as {
      readonly fd_seek: (fd: number, offset: bigint, from: number, result: number) => number;
    };
    return (place) => seek(2, BigInt(place), 0, 0) === 0;
  } finally {
    process.emitWarning = emitWarning;
  }
}
