/**
 * Times networks that were exported and imported again, random weights.
 *
 *     node scripts/onnx-speed.mjs [--models resnet18_imagenet,mobilenet_v2_imagenet]
 *         [--transformers vit_b_16,convnext_tiny]
 *         [--batch 8] [--rounds 9] [--steps 3] [--seconds 300] [--small] [--json FILE]
 *
 * (a) A PGD step of each of --models, imported, against linbp's own definition, in turns: median of the quotients.
 * (b) A PGD step, which is a forward and a backward pass, of each of --transformers, imported, against a forward pass
 *     of ONNX Runtime's WebGPU on the same machine, where that runs in Node. --seconds is the time that the
 *     latter has. `--small` takes small ones, as a trial.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Device, exportOnnx, importOnnx, initialState, modelDefinition } from '../dist/src/index.js';
import { createWorkload } from '../dist/src/profile/workloads.js';
import { convNext, visionTransformer } from './onnx/transformers.mjs';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'resnet18_imagenet,mobilenet_v2_imagenet' },
    transformers: { type: 'string', default: 'vit_b_16,convnext_tiny' },
    batch: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '9' },
    steps: { type: 'string', default: '3' },
    small: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '300' },
    json: { type: 'string' },
  },
});
const [batch, rounds, steps] = [options.batch, options.rounds, options.steps].map(Number);
const listed = (text) => text.split(',').filter((name) => name !== '');

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
};

const makers = {
  vit_b_16: (name) =>
    visionTransformer(name, options.small ? { pixels: 32, patch: 8, width: 32, heads: 4, depth: 2, classes: 10 } : {}),
  convnext_tiny: (name) =>
    convNext(name, options.small ? { pixels: 32, widths: [16, 32], blocks: [1, 2], classes: 10 } : {}),
};

/** Milliseconds of one step, of several without a pause. */
async function timed(device, { program, segments, row }) {
  await device.idle();
  const runs = Array.from({ length: steps }, () => segments.map((segment) => ({ segment, row }))).flat();
  const began = performance.now();
  await program.run(runs);
  await device.idle();
  return (performance.now() - began) / steps;
}

const stepOf = (device, definition, weights) =>
  createWorkload('attack', { device, definition, weights, batch, rule: 'bp' });

async function compare(device, name) {
  const definition = modelDefinition(name);
  const weights = initialState(definition, 1);
  const imported = await importOnnx(exportOnnx(definition, { weights }), { name });
  const own = await stepOf(device, definition, weights);
  const other = await stepOf(device, imported, imported.weights);
  try {
    for (const each of [own, other]) await timed(device, each);
    const pairs = [];
    for (let round = 0; round < rounds; round++) {
      // Whoever comes second may find another clock.
      const order = round % 2 === 0 ? [own, other] : [other, own];
      const found = new Map();
      for (const each of order) found.set(each, await timed(device, each));
      pairs.push([found.get(own), found.get(other)]);
    }
    const quotients = pairs.map(([a, b]) => b / a).sort((a, b) => a - b);
    return {
      name,
      definition: median(pairs.map(([a]) => a)),
      imported: median(pairs.map(([, b]) => b)),
      quotient: median(quotients),
      least: quotients[0],
      most: quotients.at(-1),
    };
  } finally {
    own.destroy();
    other.destroy();
  }
}

/** Milliseconds of a forward pass by ONNX Runtime's WebGPU, or why it does not run here; in a process of its own. */
function onRuntime(bytes, input) {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-speed-'));
  try {
    const file = join(folder, 'model.onnx');
    writeFileSync(file, bytes);
    const script = fileURLToPath(new URL('onnx/runtime.mjs', import.meta.url));
    const limit = 1000 * Number(options.seconds);
    const { stdout, error, status } = spawnSync(process.execPath, [script, file, [batch, ...input].join(), rounds], {
      timeout: limit,
      killSignal: 'SIGKILL',
      encoding: 'utf8',
    });
    const line = stdout.split('\n').find((each) => each.startsWith('{'));
    if (line !== undefined) return JSON.parse(line);
    return { reasons: [error === undefined ? `it ended with ${status}` : `no answer in ${options.seconds} s`] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function transformer(device, name) {
  const definition = makers[name](name);
  const bytes = exportOnnx(definition, { weights: initialState(definition, 1) });
  const imported = await importOnnx(bytes, { name });
  const workload = await stepOf(device, imported, imported.weights);
  const times = [];
  try {
    await timed(device, workload);
    for (let round = 0; round < rounds; round++) times.push(await timed(device, workload));
  } finally {
    workload.destroy();
  }
  const runtime = onRuntime(bytes, definition.input);
  return { name, step: median(times), runtime };
}

const results = { models: [], transformers: [] };
const device = await Device.open();
try {
  console.log(`${device.adapterInfo.description}; batch ${batch}, medians of ${rounds} rounds of ${steps} steps`);
  for (const name of listed(options.models)) {
    const result = await compare(device, name);
    results.models.push(result);
    const { definition, imported, quotient, least, most } = result;
    console.log(
      `${name}: definition ${definition.toFixed(2)} ms, imported ${imported.toFixed(2)} ms a PGD step; ` +
        `quotient ${quotient.toFixed(3)} (${least.toFixed(3)} to ${most.toFixed(3)})`,
    );
  }
  for (const name of listed(options.transformers)) {
    const result = await transformer(device, name);
    results.transformers.push(result);
    const { milliseconds, module, reasons } = result.runtime;
    const other =
      milliseconds === undefined
        ? `ONNX Runtime's WebGPU does not run: ${reasons.join('; ')}`
        : `ONNX Runtime's forward ${milliseconds.toFixed(2)} ms (${module}), ` +
          `quotient ${(result.step / milliseconds).toFixed(2)}`;
    console.log(`${name}: forward and backward ${result.step.toFixed(2)} ms; ${other}`);
  }
} finally {
  device.destroy();
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
