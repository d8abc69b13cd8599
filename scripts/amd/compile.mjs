/**
 * Compiles everything that one workload runs, for whatever adapter there is, one pipeline after the other. Run by
 * scripts/check-amd.mjs, in an environment in which the driver writes what it compiled to stderr: before each pipeline
 * this writes the line "@@pipeline" with its shader, label and kernel as JSON, and "@@done" after it. Nothing that it
 * computes means anything.
 *
 *   node compile.mjs ROOT WORKLOAD...     such as "lenet5 train 64" or "candidates"; ROOT holds a build of linbp
 */
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [root, ...workloads] = process.argv.slice(2);
const require = createRequire(`${root}/package.json`);
const { globals } = await import(pathToFileURL(require.resolve('webgpu')).href);
const prototype = globals.GPUDevice.prototype;
const { createShaderModule, createComputePipelineAsync } = prototype;
const codes = new WeakMap();
let last = Promise.resolve();

prototype.createShaderModule = function (descriptor) {
  const module = createShaderModule.call(this, descriptor);
  codes.set(module, descriptor.code);
  return module;
};
prototype.createComputePipelineAsync = function (descriptor) {
  const mine = last.then(async () => {
    const about = { label: (descriptor.label ?? '').trim(), code: codes.get(descriptor.compute.module) };
    writeSync(2, `\n@@pipeline ${JSON.stringify(about)}\n`);
    const pipeline = await createComputePipelineAsync.call(this, descriptor);
    writeSync(2, '\n@@done\n');
    return pipeline;
  });
  last = mine.catch(() => undefined);
  return mine;
};

const dist = (path) => import(pathToFileURL(`${root}/dist/src/${path}.js`).href);
const { Attack, Device, initialState, Model, modelDefinition } = await dist('index');
const { Graph } = await dist('graph/graph');
const { createWorkload } = await dist('profile/workloads');
const { Program } = await dist('program/program');
const { kernelDevice } = await dist('program/kernelDevice');
const { candidates } = await dist('tune/candidates');
const { problemsOf } = await dist('tune/tuner');
const { onlyChoice } = await dist('choices/table');
const { typicalProducts } = await import('../typicalProducts.mjs');

/** What a workload's dispatches are and how much they do, for the table of the largest kernels. */
function writeDispatches(program) {
  const dispatches = program.dispatches.map(({ source }) => ({
    label: `${source.kernel} ${source.variant}`.trim(),
    flops: source.flops,
    bytes: source.bytes,
  }));
  writeSync(2, `\n@@dispatches ${JSON.stringify(dispatches)}\n`);
}

/** An attack is compiled and not run: it would check its images in the end, and nothing computes them here. */
async function compileAttack(device, definition, weights, batch) {
  const model = Model.create(definition, { device });
  model.setStateDict(weights);
  const attack = await Attack.compile({ model, attack: 'pgd', rules: 'bp', eps: 0.1, steps: 2, batch });
  const { executor } = await attack.executor();
  writeDispatches(executor.program);
  attack.destroy();
  model.destroy();
}

async function compileModel(device, name, kind, batch) {
  const definition = modelDefinition(name);
  const weights = initialState(definition, 0);
  if (kind === 'attack') return compileAttack(device, definition, weights, batch);
  const workload = await createWorkload(kind, { device, definition, weights, rule: 'bp', batch });
  writeDispatches(workload.program);
  workload.destroy();
}

/** The tuner's candidates for typical products, those that round to f16 included. */
async function compileCandidates(device) {
  for (const make of Object.values(typicalProducts)) {
    const graph = new Graph();
    make(graph);
    const usual = await Program.compile(graph, { device });
    const problems = [...problemsOf(usual).values()].map(({ source }) => source.tuning);
    usual.destroy();
    for (const { problem, choice } of problems)
      for (const candidate of candidates(problem, choice, kernelDevice(device), { halfProducts: true })) {
        const program = await Program.compile(graph, { device, choices: onlyChoice(candidate) });
        program.destroy();
      }
  }
}

for (const workload of workloads) {
  // one device each, so that what a workload compiles does not depend on those before it
  const device = await Device.open();
  writeSync(2, `\n@@workload ${workload}\n`);
  if (device.adapterInfo.software) throw new Error(`${device.adapterInfo.description} is no AMD GPU`);
  const [name, kind, batch] = workload.split(' ');
  if (name === 'candidates') await compileCandidates(device);
  else await compileModel(device, name, kind, Number(batch));
  writeSync(2, '\n@@end\n');
  device.destroy();
}
// Dawn's threads would wait for work that never ends
process.exit(0);
