/**
 * Exports every network of linbp by `exportOnnx`, imports it again and compares: the same positions, branches and
 * presets, logits of the device to 1e-6, and ONNX Runtime (its CPU backend in WebAssembly) to 1e-4, relative 2-norms.
 *
 *     node scripts/onnx-export.mjs [NAME ...] [--json FILE] [--device auto|software] [--out DIR]
 *
 * Weights are random, batch norm's statistics too. --out keeps the files. Exits with 1 where something differs.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-web';
import {
  describeModel,
  Device,
  exportOnnx,
  importOnnx,
  initialState,
  Model,
  modelDefinition,
  modelNames,
  positionTable,
} from '../dist/src/index.js';
import { uniforms } from '../dist/src/public/graph.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, device: { type: 'string', default: 'auto' }, out: { type: 'string' } },
});
ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';
const count = 2;

function relativeError(wanted, got) {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    difference += (wanted[i] - got[i]) ** 2;
    norm += wanted[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** PyTorch's initial weights, with batch norms that do something. */
function randomWeights(definition) {
  const state = new Map(initialState(definition, 1));
  const ranges = {
    'bn.weight': [0.7, 1.3],
    'bn.bias': [-0.2, 0.2],
    'bn.running_mean': [-0.2, 0.2],
    'bn.running_var': [0.6, 1.4],
  };
  describeModel(definition).layout.specs.forEach(({ name, kind, shape }, stream) => {
    const range = ranges[kind];
    if (range === undefined) return;
    const [low, high] = range;
    const data = uniforms(2, stream, 0, 0, state.get(name).data.length).map((u) => low + (high - low) * u);
    state.set(name, { shape, data: Float32Array.from(data) });
  });
  return state;
}

async function logitsOf(definition, weights, images, device) {
  const model = Model.create({ ...definition, weights }, { device });
  try {
    return await model.logits(images, { batch: count });
  } finally {
    model.destroy();
  }
}

async function onRuntime(bytes, images, shape) {
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  try {
    const { logits } = await session.run({ input: new ort.Tensor('float32', images, [count, ...shape]) });
    return logits.data;
  } finally {
    await session.release();
  }
}

async function compare(name, device) {
  const definition = modelDefinition(name);
  const weights = randomWeights(definition);
  const bytes = exportOnnx(definition, { weights });
  if (options.out !== undefined) writeFileSync(join(options.out, `${name}.onnx`), bytes);
  const imported = await importOnnx(bytes, { name });
  const images = uniforms(3, 0, 0, 0, count * definition.input.reduce((a, b) => a * b));
  const logits = await logitsOf(definition, weights, images, device);
  const result = {
    name,
    bytes: bytes.length,
    positions: positionTable(definition).positions.length,
    logits: relativeError(logits, await logitsOf(imported, imported.weights, images, device)),
    runtime: relativeError(logits, await onRuntime(bytes, images, definition.input)),
  };
  const [before, after] = [definition, imported].map(positionTable);
  const same = (key) => JSON.stringify(before[key]) === JSON.stringify(after[key]);
  const keys = (state) => [...state.keys()].sort().join();
  const faults = [
    ...['positions', 'branches', 'presets'].filter((key) => !same(key)).map((key) => `${key} differ`),
    ...(keys(weights) === keys(imported.weights) ? [] : ['the keys of the weights differ']),
    ...(result.logits <= 1e-6 ? [] : [`logits differ by ${result.logits.toExponential(1)}`]),
    ...(result.runtime <= 1e-4 ? [] : [`ONNX Runtime differs by ${result.runtime.toExponential(1)}`]),
  ];
  return { ...result, faults };
}

if (options.out !== undefined) mkdirSync(options.out, { recursive: true });
const results = [];
const device = await Device.open({ device: options.device });
try {
  for (const name of positionals.length > 0 ? positionals : modelNames) {
    const result = await compare(name, device).catch((error) => ({ name, faults: [error.message] }));
    results.push(result);
    const figures = [result.logits, result.runtime].map((value) => value?.toExponential(1) ?? '-');
    console.log(
      `${name}: logits ${figures[0]}, ONNX Runtime ${figures[1]}${result.faults.map((each) => `; ${each}`).join('')}`,
    );
  }
} finally {
  device.destroy();
}
const good = results.filter(({ faults }) => faults.length === 0).length;
console.log(`${good} of ${results.length} networks agree`);
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
process.exitCode = good === results.length ? 0 : 1;
