/**
 * Feeds mutated ONNX files to `importOnnx` in this process: whatever comes of it must be a model or a LinbpError.
 *
 *     node scripts/fuzz-onnx.mjs [--count 200000] [--seed 1] [--seconds N] [--most 20] FILE.onnx ...
 */
import { importOnnx } from '../dist/src/index.js';
import { fuzz } from './mutations.mjs';

await fuzz('node scripts/fuzz-onnx.mjs [--count N] [--seed N] [--seconds N] [--most N] FILE.onnx ...', (bytes) =>
  importOnnx(bytes, { size: [32, 32] }),
);
