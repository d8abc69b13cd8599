/** The thread of progress.mjs: draws a line four times a second until it is told to stop. */
import { existsSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

const { flag, what, unit, paths, width } = workerData;
const began = performance.now();
const left = new Set(paths);

function line() {
  const seconds = (performance.now() - began) / 1000;
  const parts = [`setup: ${what}`, `${Math.floor(seconds)} s`];
  if (paths.length > 0) {
    for (const path of left) if (existsSync(path)) left.delete(path);
    const done = paths.length - left.size;
    parts.push(`${done}/${paths.length} ${unit}`);
    if (done > 0 && left.size > 0 && seconds > 2) parts.push(`${Math.ceil((seconds * left.size) / done)} s left`);
  }
  while (parts.length > 1 && parts.join('  ').length > width) parts.pop();
  return parts.join('  ').slice(0, width);
}

function write(text) {
  try {
    writeSync(2, text);
  } catch {
    // A terminal that is gone or busy misses a line.
  }
}

do write(`\r\x1b[2K${line()}`);
while (Atomics.wait(flag, 0, 0, 250) === 'timed-out');
write('\r\x1b[2K');
Atomics.store(flag, 1, 1);
Atomics.notify(flag, 1);
