/**
 * Runs tests that `npm test` leaves out: node scripts/slow-tests.mjs [--golden] [mocha options]. Those tagged @slow, or
 * with `--golden` those tagged @golden, which compare networks and attacks with reference values in full.
 * Two files at a time.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const given = process.argv.slice(2);
const golden = given[0] === '--golden';
const options = ['--parallel', '--jobs', '2', '--grep', golden ? '@golden' : '@slow', 'dist/test/**/*.test.js'];
const { status } = spawnSync(process.execPath, [mocha, ...options, ...given.slice(golden ? 1 : 0)], {
  stdio: 'inherit',
  env: { ...process.env, LINBP_SLOW: '1' },
});
process.exitCode = status ?? 1;
