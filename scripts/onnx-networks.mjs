/**
 * Compares a folder of ONNX networks with the logits and gradients stored beside them, and checks what is refused.
 *
 *     node scripts/onnx-networks.mjs DIR [--json FILE] [--device auto|software|reference] [--only TEXT]
 *
 * DIR holds index.json, NAME.onnx and NAME.safetensors (input, labels, logits, grad.input, linbp.grad.input). Each
 * network goes through `linbp grad --model NAME.onnx --inputs NAME.safetensors --loss sum` with `--rule bp` and
 * `--rule linbp:from=all`. Bounds are relative 2-norms: 1e-5 for logits and 1e-4 for gradients on a device, 5e-6 in
 * the reference. Prints what differs and exits with 1 where something does.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommandLine } from '../dist/src/cli/runner.js';
import { importOnnx, LinbpError, positionTable } from '../dist/src/index.js';
import { decodeSafetensors, tensorAsFloat32 } from '../dist/src/public/io.js';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    device: { type: 'string', default: 'auto' },
    only: { type: 'string', default: '' },
  },
});
const folder = positionals[0];
if (folder === undefined || !existsSync(join(folder, 'index.json'))) {
  process.stderr.write('usage: node scripts/onnx-networks.mjs DIR [--json FILE] [--device auto|software|reference]\n');
  process.exit(1);
}
const bounds = options.device === 'reference' ? { logits: 5e-6, gradient: 5e-6 } : { logits: 1e-5, gradient: 1e-4 };
const scratch = mkdtempSync(join(tmpdir(), 'linbp-networks-'));

/** Runs a command line with its output held back. */
async function command(args) {
  const write = { out: process.stdout.write, error: process.stderr.write };
  let errors = '';
  process.stdout.write = () => true;
  process.stderr.write = (text) => ((errors += text), true);
  try {
    const code = await runCommandLine(args, new AbortController().signal);
    return code === 0 ? undefined : errors.trim().split('\n').at(-1);
  } finally {
    process.stdout.write = write.out;
    process.stderr.write = write.error;
  }
}

/** Relative 2-norm of the difference. */
function distance(wanted, got) {
  if (wanted.length !== got.length) return Infinity;
  let [difference, norm] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    difference += (wanted[i] - got[i]) ** 2;
    norm += wanted[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

const tensorsOf = (path) => decodeSafetensors(readFileSync(path), path).tensors;

async function gradients(model, inputs, rule) {
  const out = join(scratch, 'gradients.safetensors');
  const machine = ['--device', options.device, '--out', out];
  const args = ['grad', '--model', model, '--inputs', inputs, '--loss', 'sum', '--rule', rule, ...machine];
  const failure = await command([...args, '--input-only']);
  if (failure !== undefined) throw new Error(failure);
  return tensorsOf(out);
}

async function compare({ name, relu_count: relu, relu6_count: relu6 }) {
  const [model, inputs] = [join(folder, `${name}.onnx`), join(folder, `${name}.safetensors`)];
  const wanted = tensorsOf(inputs);
  const [, , height, width] = wanted.get('input').shape;
  const { positions } = positionTable(await importOnnx(model, { size: [height, width] }));
  const count = positions.filter(({ activation }) => activation === 'relu' || activation === 'relu6').length;
  const got = await gradients(model, inputs, 'bp');
  const far = (tensor, from, key = tensor) =>
    distance(tensorAsFloat32(wanted.get(key)), tensorAsFloat32(from.get(tensor)));
  const result = { name, positions: count, logits: far('logits', got), gradient: far('grad.input', got) };
  if (wanted.has('linbp.grad.input')) {
    const linear = await gradients(model, inputs, 'linbp:from=all');
    result.linbp = far('grad.input', linear, 'linbp.grad.input');
  }
  const faults = [
    ...(count === Number(relu) + Number(relu6) ? [] : [`${count} ReLUs, expected ${Number(relu) + Number(relu6)}`]),
    ...(result.logits <= bounds.logits ? [] : [`logits differ by ${result.logits.toExponential(1)}`]),
    ...(result.gradient <= bounds.gradient ? [] : [`the gradient differs by ${result.gradient.toExponential(1)}`]),
    ...(!(result.linbp > bounds.gradient) ? [] : [`LinBP's gradient differs by ${result.linbp.toExponential(1)}`]),
  ];
  return { ...result, faults };
}

const refusal = async (path) => {
  try {
    await importOnnx(path);
    return undefined;
  } catch (error) {
    if (!(error instanceof LinbpError)) throw error;
    return error.message;
  }
};

const entries = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'));
const [compared, refused] = [[], []];
try {
  for (const entry of entries.filter(({ name }) => name.includes(options.only))) {
    if (entry.outcome === 'load') {
      const result = await compare(entry).catch((error) => ({ name: entry.name, faults: [error.message] }));
      compared.push(result);
      for (const fault of result.faults) console.log(`${entry.name}: ${fault}`);
    } else {
      const message = await refusal(join(folder, `${entry.name}.onnx`));
      const node = entry.node === undefined ? [] : [entry.node];
      const faults = [
        ...(message === undefined && entry.outcome === 'refuse' ? ['is imported, should be refused'] : []),
        ...(message === undefined
          ? []
          : node.filter((each) => !message.includes(each)).map((each) => `${each} is not named`)),
      ];
      refused.push({ name: entry.name, outcome: entry.outcome, message: message ?? null, faults });
      for (const fault of faults) console.log(`${entry.name}: ${fault}`);
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const worst = (key) => Math.max(...compared.map((each) => each[key] ?? 0)).toExponential(1);
const good = (list) => list.filter(({ faults }) => faults.length === 0).length;
console.log(
  `${good(compared)} of ${compared.length} networks agree (worst: logits ${worst('logits')}, gradient ` +
    `${worst('gradient')}, LinBP ${worst('linbp')}); ${good(refused)} of ${refused.length} others as expected`,
);
if (options.json !== undefined)
  writeFileSync(options.json, `${JSON.stringify({ device: options.device, bounds, compared, refused }, null, 2)}\n`);
process.exitCode = good(compared) + good(refused) === compared.length + refused.length ? 0 : 1;
