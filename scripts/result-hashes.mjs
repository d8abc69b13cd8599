/**
 * Prints a hash of the bits of results, to show that a change of kernels or structure leaves them alone: ten training
 * runs, ten attacks, and every candidate of the tuner for products of typical layers. Needs a build.
 *
 *   node scripts/result-hashes.mjs [--as-gpu] [--only WORD] [--out FILE] [--compare FILE]
 *
 * `--as-gpu` takes the kernels that GPUs get, whatever the adapter is. `--out` writes the hashes as JSON; `--compare`
 * reads such a file and exits with 1 where a hash differs. Hashes are comparable on one adapter and driver only.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { typicalProducts } from './typicalProducts.mjs';

const { values: options } = parseArgs({
  options: {
    'as-gpu': { type: 'boolean', default: false },
    only: { type: 'string' },
    out: { type: 'string' },
    compare: { type: 'string' },
  },
});
process.env.LINBP_TUNING = 'off';
const dist = (path) => import(new URL(`../dist/src/${path}.js`, import.meta.url));
const { adam, Attack, Device, fromArrays, Model, modelDefinition, sgd, Trainer } = await dist('index');
const { Graph } = await dist('graph/graph');
const [{ uniforms }, { Program }, { kernelDevice }, { candidates }, { problemsOf }, { onlyChoice, choiceName }, trial] =
  await Promise.all(
    [
      'random/philox',
      'program/program',
      'program/kernelDevice',
      'tune/candidates',
      'tune/tuner',
      'choices/table',
      'tune/trial',
    ].map(dist),
  );

const device = await Device.open();
if (options['as-gpu'])
  Object.defineProperty(device, 'adapterInfo', { value: { ...device.adapterInfo, software: false } });

const hashOf = (arrays) => {
  const hash = createHash('sha256');
  for (const array of arrays) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest('hex').slice(0, 16);
};

/** Images and labels that follow from nothing but their number and shape. */
function images(count, [channels, height, width]) {
  const pixels = count * channels * height * width;
  return fromArrays({
    shape: [count, channels, height, width],
    classes: 10,
    images: Float32Array.from(uniforms(5, 1, 0, 0, pixels)),
    labels: Int32Array.from({ length: count }, (_, n) => (7 * n + 3) % 10),
  });
}

const trainings = [
  { model: 'mlp', rules: 'bp', batch: 16, steps: 4 },
  { model: 'mlp', rules: 'linbp', batch: 7, steps: 4 },
  { model: 'lenet5', rules: 'bp', batch: 16, steps: 4 },
  { model: 'lenet5', rules: 'linbp', batch: 16, steps: 4, optimizer: sgd({ lr: 0.02, momentum: 0.9 }) },
  { model: 'resnet8-mlperf-tiny', rules: 'bp', batch: 8, steps: 2 },
  { model: 'resnet20', rules: 'bp', batch: 8, steps: 2 },
  { model: 'resnet20', rules: 'linbp:from=layer3', batch: 5, steps: 2 },
  { model: 'squeezenet', rules: 'softplus', batch: 4, steps: 1 },
  { model: 'vgg16_bn', rules: 'guided', batch: 4, steps: 1 },
  { model: 'mobilenet_v2', rules: 'bp', batch: 4, steps: 1 },
];

async function train({ model: name, rules, batch, steps, optimizer }) {
  const definition = modelDefinition(name);
  const model = Model.create(definition, { device, seed: 3 });
  const dataset = images(batch * steps, definition.input);
  const trainer = await Trainer.create({ model, dataset, rules, batch, optimizer: optimizer ?? adam({ lr: 1e-3 }) });
  await trainer.fit({ epochs: 1 });
  trainer.destroy();
  const state = await model.stateDict();
  model.destroy();
  return hashOf([...state.values()].map(({ data }) => data));
}

const attacks = [
  { model: 'mlp', method: 'fgsm', rules: 'bp', count: 9 },
  { model: 'lenet5', method: 'pgd', rules: 'bp', count: 9, steps: 5 },
  { model: 'lenet5', method: 'ifgsm', rules: 'linbp', count: 16, steps: 5 },
  { model: 'lenet5', method: 'apgd', rules: 'linbp', count: 8, steps: 6 },
  { model: 'resnet20', method: 'pgd', rules: 'bp', count: 8, steps: 3 },
  { model: 'resnet20', method: 'mifgsm', rules: 'linbp:from=layer3', count: 5, steps: 3 },
  { model: 'resnet20', method: 'difgsm', rules: 'softplus', count: 4, steps: 2 },
  { model: 'resnet18', method: 'tifgsm', rules: 'linbp:from=layer3', count: 2, steps: 2 },
  { model: 'densenet121', method: 'fgsm', rules: 'bp', count: 1, steps: 1 },
  { model: 'mobilenet_v2', method: 'ifgsm', rules: 'bp', count: 2, steps: 2 },
];

async function attack({ model: name, method, rules, count, steps }) {
  const definition = modelDefinition(name);
  const model = Model.create(definition, { device, seed: 3 });
  const compiled = await Attack.compile({
    model,
    attack: method,
    rules,
    eps: 8 / 255,
    ...(steps === undefined || method === 'fgsm' ? {} : { steps }),
  });
  const result = await compiled.run({ images: images(count, definition.input) });
  compiled.destroy();
  model.destroy();
  return hashOf([result.images, result.losses]);
}

async function candidateHash(graph, choice) {
  const program = await Program.compile(graph, { device, choices: onlyChoice(choice) });
  for (const tensor of graph.tensors.filter(({ kind }) => kind === 'input'))
    program.write(tensor, trial.sampleValues(tensor));
  await program.run([{ segment: 'main' }]);
  const results = [];
  for (const tensor of graph.outputs.values())
    results.push(await (tensor.dtype === 'f32' ? program.read(tensor) : program.readU32(tensor)));
  program.destroy();
  return hashOf(results);
}

/** Each candidate of each product of a graph; only the product it is for runs with it. */
async function* candidateHashes(make) {
  const graph = new Graph();
  make(graph);
  const usual = await Program.compile(graph, { device });
  const problems = [...problemsOf(usual).values()].map(({ source }) => source.tuning);
  usual.destroy();
  for (const { problem, choice } of problems)
    for (const candidate of candidates(problem, choice, kernelDevice(device)))
      yield [`${problem.layer}: ${choiceName(candidate)}`, await candidateHash(graph, candidate)];
}

const withoutFolders = (name) => name.replace(/\b(gemm|software)\//g, '');
const hashes = {};
const note = (name, hash) => {
  hashes[name] = hash;
  console.log(`${hash}  ${name}`);
};
const wanted = (name) => options.only === undefined || name.includes(options.only);
const named = (kind, { model, rules, batch, count, steps, method }) =>
  [kind, model, method, rules, `${batch ?? count} images`, steps === undefined ? '' : `${steps} steps`]
    .filter((part) => part !== undefined && part !== '')
    .join(' ');
for (const each of trainings) if (wanted(named('train', each))) note(named('train', each), await train(each));
for (const each of attacks) if (wanted(named('attack', each))) note(named('attack', each), await attack(each));
for (const [name, make] of Object.entries(typicalProducts)) {
  if (!wanted(`product ${name}`)) continue;
  for await (const [candidate, hash] of candidateHashes(make)) note(`product ${name}, ${candidate}`, hash);
}
device.destroy();

if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(hashes, null, 2)}\n`);
if (options.compare !== undefined) {
  // kernels may have moved between folders
  const placed = Object.entries(JSON.parse(readFileSync(options.compare, 'utf8')));
  const before = Object.fromEntries(placed.map(([name, hash]) => [withoutFolders(name), hash]));
  const shared = Object.keys(hashes).filter((name) => withoutFolders(name) in before);
  const different = shared.filter((name) => before[withoutFolders(name)] !== hashes[name]);
  for (const name of different) console.log(`differs: ${name}`);
  console.log(`${shared.length - different.length} of ${shared.length} as before`);
  process.exitCode = different.length === 0 && shared.length > 0 ? 0 : 1;
}
