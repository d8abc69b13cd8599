/**
 * Runs a folder of ONNX's backend test cases: NAME/model.onnx, NAME/test_data_set_0/input_*.pb and output_*.pb.
 *
 *     node scripts/onnx-backend.mjs DIR [--json FILE] [--device auto|software|reference] [--only TEXT]
 *
 * DIR may also hold folders of such folders. Entries must agree to rtol 1e-3 and atol 1e-6, integers exactly.
 * Prints what passed, failed and was refused, with reasons, and exits with 1 where something failed.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { Device, LinbpError, readOnnxTensor, runOnnx, onnxInputNames } from '../dist/src/index.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    device: { type: 'string', default: 'auto' },
    only: { type: 'string', default: '' },
  },
});
const root = positionals[0];
if (root === undefined || !existsSync(root)) {
  process.stderr.write('usage: node scripts/onnx-backend.mjs DIR [--json FILE] [--device auto|software|reference]\n');
  process.exit(1);
}

/** Folders with a model, in order. */
function caseFolders(folder) {
  if (existsSync(join(folder, 'model.onnx'))) return [folder];
  return readdirSync(folder)
    .sort()
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isDirectory())
    .flatMap(caseFolders);
}

const readAll = (folder, kind) => {
  const files = [];
  for (let i = 0; existsSync(join(folder, `${kind}_${i}.pb`)); i++)
    files.push(readOnnxTensor(readFileSync(join(folder, `${kind}_${i}.pb`))));
  return files;
};

/** Why two tensors differ, or undefined. */
function difference(wanted, got, name) {
  if (wanted.shape.join() !== got.shape.join()) return `${name} is [${got.shape}], expected [${wanted.shape}]`;
  if (wanted.type !== got.type) return `${name} is ${got.type}, expected ${wanted.type}`;
  const exact = !/float/.test(wanted.type);
  for (let i = 0; i < wanted.data.length; i++) {
    const [a, b] = [wanted.data[i], got.data[i]];
    const close = exact ? a === b : Math.abs(a - b) <= 1e-6 + 1e-3 * Math.abs(a) || Object.is(a, b);
    if (!close) return `${name}[${i}] is ${b}, expected ${a}`;
  }
  return undefined;
}

/** The input that ONNX's runner makes for its light models, which store none. */
function lightInput() {
  const shape = [1, 3, 224, 224];
  const count = 3 * 224 * 224;
  return { type: 'float32', shape, data: Float32Array.from({ length: count }, (_, i) => i / count) };
}

async function runCase(folder, device) {
  const model = join(folder, 'model.onnx');
  const names = await onnxInputNames(model);
  let tensors = readAll(join(folder, 'test_data_set_0'), 'input');
  const shared = join(folder, '..', 'input_0.pb');
  if (tensors.length === 0 && names.length === 1)
    tensors = [existsSync(shared) ? readOnnxTensor(readFileSync(shared)) : lightInput()];
  const inputs = Object.fromEntries(names.map((name, i) => [name, tensors[i]]).filter(([, tensor]) => tensor));
  const { outputs, onHost } = await runOnnx(model, inputs, { device });
  const results = [...outputs];
  const failures = readAll(join(folder, 'test_data_set_0'), 'output').flatMap((wanted, i) => {
    const [name, got] = results[i];
    return difference(wanted, got, name) ?? [];
  });
  return { failures, onHost };
}

const device = options.device === 'reference' ? 'reference' : await Device.open({ device: options.device });
const [passed, failed, refused] = [[], [], []];
for (const folder of caseFolders(root)) {
  const name = relative(root, folder) || folder;
  if (!name.includes(options.only)) continue;
  try {
    const { failures, onHost } = await runCase(folder, device);
    if (failures.length > 0) failed.push({ name, reason: failures.join('; ') });
    else passed.push({ name, onHost });
  } catch (error) {
    if (!(error instanceof LinbpError)) throw error;
    (error.code === 'unsupported' ? refused : failed).push({ name, reason: error.message });
  }
}
if (device !== 'reference') device.destroy();
for (const { name, reason } of failed) console.log(`failed   ${name}: ${reason}`);
for (const { name, reason } of refused) console.log(`refused  ${name}: ${reason}`);
const hosted = passed.filter(({ onHost }) => onHost.length > 0).length;
console.log(
  `${passed.length} passed (${hosted} with nodes on the CPU), ${failed.length} failed, ${refused.length} refused`,
);
if (options.json !== undefined)
  writeFileSync(options.json, `${JSON.stringify({ device: options.device, passed, failed, refused }, null, 2)}\n`);
process.exitCode = failed.length > 0 ? 1 : 0;
