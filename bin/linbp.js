#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (existsSync(fileURLToPath(main))) {
  try {
    await import(main.href);
  } catch (error) {
    // Before the command line is loaded, only the system can refuse something, such as to open one more file.
    const reason = error?.code === 'EMFILE' ? 'too many open files in this process (ulimit -n)' : error?.message;
    process.stderr.write(`error: linbp cannot start: ${String(reason).split('\n')[0]}\n`);
    if (process.env.LINBP_DEBUG === '1') process.stderr.write(`${error?.stack}\n`);
    process.exitCode = 1;
  }
} else {
  process.stderr.write('linbp: this copy is not built; run "npm install && npm run build" in its folder\n');
  process.exitCode = 1;
}
