/** Runs the tests that `npm test` leaves out, those tagged @slow: node scripts/slow-tests.mjs [mocha options] */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const { status } = spawnSync(
  process.execPath,
  [mocha, '--grep', '@slow', 'dist/test/**/*.test.js', ...process.argv.slice(2)],
  { stdio: 'inherit', env: { ...process.env, LINBP_SLOW: '1' } },
);
process.exitCode = status ?? 1;
