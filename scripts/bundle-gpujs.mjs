/**
 * Packs the one part of gpu.js that linbp uses, its JavaScript-to-WGSL translator, into dist/src/vendor/gpujs.mjs
 * together with the parser it needs. gpu.js as a dependency would bring an old second Dawn of 88 MB, which nobody who
 * depends on linbp could remove; the translator itself needs no GPU at all. The licenses go with it, at the head of
 * the file.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(join(root, 'package.json'));
const gpujs = dirname(require.resolve('gpu.js/package.json'));
const acorn = dirname(createRequire(join(gpujs, 'package.json')).resolve('acorn/package.json'));

function notice(folder) {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return `${name} ${version}\n\n${readFileSync(join(folder, 'LICENSE'), 'utf8').trim()}`;
}

const result = await build({
  stdin: {
    contents: `
      export { WGSLFunctionNode } from 'gpu.js/src/backend/web-gpu/function-node.js';
      export { FunctionBuilder } from 'gpu.js/src/backend/function-builder.js';
    `,
    resolveDir: root,
  },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  outfile: join(root, 'dist/src/vendor/gpujs.mjs'),
  banner: {
    js: (
      `/*!\nGenerated from the following packages; do ` + `not edit.\n\n${notice(gpujs)}\n\n${notice(acorn)}\n*/`
    ).replaceAll(root, '.'),
  },
  metafile: true,
  logLevel: 'warning',
});

// The point of the exercise: nothing that loads a GPU module may come along.
const foreign = Object.keys(result.metafile.inputs).filter((path) =>
  /node_modules\/(?!gpu\.js\/|acorn\/)/.test(path.replace('gpu.js/node_modules/', '')),
);
if (foreign.length > 0) throw new Error(`bundle-gpujs: unexpected inputs ${foreign.join(', ')}`);
