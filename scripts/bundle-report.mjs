/**
 * Packs the charting library into the two places that draw with it: dist/src/report/echarts.js, for pictures made in
 * Node, and dist/src/report/page.bundle.js, the script inside every report. So the installed package does not need the
 * library, 62 MB of which a report uses half a megabyte. The licenses go with it.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function notice(name) {
  const folder = join(root, 'node_modules', name);
  const { name: called, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return `${called} ${version}, ${license}`;
}

const banner =
  `/*! Contains ${notice('echarts')} (https://echarts.apache.org), ${notice('zrender')}, ` +
  `${notice('zrender/node_modules/tslib')}. */`;
const common = { bundle: true, minify: true, legalComments: 'none', banner: { js: banner }, logLevel: 'warning' };

await build({
  ...common,
  entryPoints: [join(root, 'src/report/echarts.ts')],
  format: 'esm',
  platform: 'node',
  target: 'node20',
  outfile: join(root, 'dist/src/report/echarts.js'),
  allowOverwrite: true,
});
await build({
  ...common,
  entryPoints: [join(root, 'scripts/report-page/main.mjs')],
  format: 'iife',
  platform: 'browser',
  target: 'es2022',
  charset: 'ascii',
  outfile: join(root, 'dist/src/report/page.bundle.js'),
});
