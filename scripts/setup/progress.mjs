/** Shows on a terminal what set-up waits for. This thread waits for other programs, so another one draws. */
import { Worker } from 'node:worker_threads';

/** Fields of the shared flag: whether to stop, and whether it has. */
const [STOP, STOPPED] = [0, 1];

/** Breaks a text between words into lines of at most so many letters; what follows the first is indented. */
export function wrap(text, width, indent) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last.trim() !== '' && last.length + 1 + word.length > width) lines.push(`${' '.repeat(indent)}${word}`);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines.join('\n');
}

let drawing = false;

/** A line of stderr: within a terminal broken between words. */
export function say(text) {
  const width = process.stderr.isTTY ? Math.max(40, process.stderr.columns || 80) : Infinity;
  process.stderr.write(`${drawing ? '\r\x1b[2K' : ''}${wrap(`setup: ${text}`, width, 2)}\n`);
}

/**
 * Runs `work`, which blocks, and meanwhile shows on a terminal how long it has taken, how much is done, and what is
 * left.
 *
 * @param {string} what such as `installing npm packages`
 * @param {() => T} work
 * @param {{ unit?: string, paths?: string[] }} amount files or folders that are there one after another
 * @template T
 * @returns {T}
 */
export function whileWaiting(what, work, { unit = '', paths = [] } = {}) {
  if (!process.stderr.isTTY || process.env.TERM === 'dumb') {
    say(what);
    return work();
  }
  const flag = new Int32Array(new SharedArrayBuffer(8));
  const width = Math.max(40, process.stderr.columns || 80) - 1;
  const ticker = new Worker(new URL('./ticker.mjs', import.meta.url), {
    workerData: { flag, what, unit, paths, width },
    execArgv: [],
  });
  // Set-up goes on without it.
  ticker.on('error', () => {});
  drawing = true;
  const began = performance.now();
  let done = false;
  try {
    const result = work();
    done = true;
    return result;
  } finally {
    Atomics.store(flag, STOP, 1);
    Atomics.notify(flag, STOP);
    // The thread clears its line before anything else is printed.
    Atomics.wait(flag, STOPPED, 0, 1000);
    ticker.unref();
    drawing = false;
    if (done) say(`${what}: ${Math.round((performance.now() - began) / 1000)} s`);
  }
}
