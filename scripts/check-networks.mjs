/**
 * Runs `linbp grad` on the device and in float64 for every network, with formula weights in a safetensors file, and
 * compares what they write. Needs a build; the float64 loops take minutes for the networks at 224 pixels.
 *
 *   node scripts/check-networks.mjs [--models NAME,..] [--rules 'RULE;RULE'] [--mode eval,train] [--batch N]
 *   [--device auto]
 *
 * One line per network, mode and rule: relative 2-norm errors of the logits and of the input gradient, the median and
 * the worst over the first 32 entries of each parameter's gradient, and of the running statistics after a step. Exit
 * code 1 where one is above its bound.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const dist = (path) => import(new URL(`../dist/src/${path}.js`, import.meta.url));
const [{ modelDefinition, modelNames }, { describeModel, isBuffer }, { formulaTensor }, safetensors] =
  await Promise.all(['nn/zoo/index', 'nn/definition', 'io/formulaWeights', 'io/safetensors'].map(dist));
const { decodeSafetensors, tensorAsFloat32, writeSafetensors } = safetensors;
const linbp = fileURLToPath(new URL('../bin/linbp.js', import.meta.url));

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: modelNames.filter((name) => name !== 'mobilenet_v2_official').join(',') },
    rules: { type: 'string', default: 'bp' },
    mode: { type: 'string', default: 'eval' },
    batch: { type: 'string', default: '2' },
    device: { type: 'string', default: 'auto' },
  },
});

/** Norms below this are of gradients that are mathematically zero, such as those of biases in front of a batch norm. */
const vanishing = 1e-9;

function bounds(model, mode) {
  const gradient = mode === 'train' && model.startsWith('mobilenet_v2') ? 5e-2 : 2e-2;
  return { logits: mode === 'train' ? 1e-3 : 1e-4, gradient, worst: 0.2, vanishing: 1e-3 };
}

function relativeError(actual, expected) {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
}

const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function writeProblem(folder, model) {
  const definition = modelDefinition(model);
  const { specs } = describeModel(definition).layout;
  const weights = join(folder, 'weights.safetensors');
  await writeSafetensors(
    weights,
    new Map(specs.map(({ name, shape, kind }) => [name, { shape, data: formulaTensor(name, shape, kind) }])),
  );
  const shape = [Number(options.batch), ...definition.input];
  const labels = Int32Array.from({ length: shape[0] }, (_, n) => (7 * n + 3) % 10);
  const inputs = join(folder, 'inputs.safetensors');
  await writeSafetensors(inputs, {
    input: { shape, data: formulaTensor('input', shape, 'input') },
    labels: { shape: [shape[0]], data: labels },
  });
  return { weights, inputs, specs };
}

function gradients(folder, model, rule, mode, device, { weights, inputs }) {
  const out = join(folder, `${device}.safetensors`);
  const args = [
    'grad',
    '--model',
    model,
    '--weights',
    weights,
    '--inputs',
    inputs,
    '--rule',
    rule,
    '--mode',
    mode,
    '--device',
    device,
    '--out',
    out,
  ];
  const began = performance.now();
  execFileSync(process.execPath, [linbp, ...args, '--json', `${out}.json`], { stdio: ['ignore', 'ignore', 'pipe'] });
  const found = new Map(
    [...decodeSafetensors(readFileSync(out), out).tensors].map(([name, tensor]) => [name, tensorAsFloat32(tensor)]),
  );
  return {
    found,
    seconds: (performance.now() - began) / 1000,
    result: JSON.parse(readFileSync(`${out}.json`, 'utf8')),
  };
}

/** The names that `grad` owes, in their order. */
function expectedNames(specs, mode, result) {
  const parameters =
    result.parameterGradients === 0 ? [] : specs.filter((spec) => !isBuffer(spec)).map(({ name }) => `grad.${name}`);
  const after = mode === 'train' ? specs.filter(isBuffer).map(({ name }) => `after.${name}`) : [];
  return ['logits', 'loss', 'losses', 'grad.input', ...parameters, ...after];
}

function compare(actual, expected) {
  const heads = [];
  const errors = { logits: 0, input: 0, loss: 0, median: 0, worst: 0, after: 0, vanishing: 0 };
  for (const [name, wanted] of expected) {
    const error = relativeError(actual.get(name), wanted);
    if (name === 'logits') errors.logits = error;
    else if (name === 'grad.input') errors.input = error;
    else if (name.startsWith('loss')) errors.loss = Math.max(errors.loss, error);
    else if (name.startsWith('after.')) errors.after = Math.max(errors.after, error);
    else if (norm(wanted) < vanishing) errors.vanishing = Math.max(errors.vanishing, norm(actual.get(name)));
    else
      heads.push({
        name,
        error: Math.max(
          relativeError(actual.get(name).slice(0, 32), wanted.slice(0, 32)),
          Math.abs(norm(actual.get(name)) / norm(wanted) - 1),
        ),
      });
  }
  const worst = heads.reduce((most, each) => (each.error > most.error ? each : most), { name: '-', error: 0 });
  return { ...errors, median: median(heads.map(({ error }) => error)), worst: worst.error, at: worst.name };
}

const shown = (value) => value.toExponential(1).padStart(8);
console.log(
  `${'network'.padEnd(24)} mode  ${'rule'.padEnd(34)}   logits    input   median    worst    after  seconds (float64)`,
);
let failures = 0;
for (const model of options.models.split(',')) {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-networks-'));
  try {
    const problem = await writeProblem(folder, model);
    for (const mode of options.mode.split(',')) {
      const bound = bounds(model, mode);
      for (const rule of options.rules.split(';')) {
        const device = gradients(folder, model, rule, mode, options.device, problem);
        const reference = gradients(folder, model, rule, mode, 'reference', problem);
        const errors = compare(device.found, reference.found);
        const names = expectedNames(problem.specs, mode, device.result);
        const faults = [
          [...device.found.keys()].join() !== names.join() && 'names',
          Math.max(errors.logits, errors.loss, errors.after) > bound.logits && 'logits',
          Math.max(errors.input, errors.median) > bound.gradient && 'gradients',
          errors.worst > bound.worst && `worst (${errors.at})`,
          errors.vanishing > bound.vanishing && 'vanishing gradients',
        ].filter(Boolean);
        const figures = [errors.logits, errors.input, errors.median, errors.worst, errors.after].map(shown).join(' ');
        const seconds = `${device.seconds.toFixed(1)} (${reference.seconds.toFixed(1)})`.padStart(14);
        console.log(
          `${model.padEnd(24)} ${mode.padEnd(5)} ${rule.padEnd(34)} ${figures} ${seconds}  ` +
            `${faults.length === 0 ? 'ok' : `ABOVE: ${faults.join(', ')}`}`,
        );
        failures += faults.length;
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
process.exitCode = failures === 0 ? 0 : 1;
