import { gradients } from '../autodiff/gradients.js';
import type { Dataset } from '../data/dataset.js';
import { check } from '../errors.js';
import { expectFinite, firstNonFinite } from '../finite.js';
import { Graph } from '../graph/graph.js';
import type { Precision, Tensor } from '../graph/types.js';
import { ensureWritableFile } from '../io/atomic.js';
import { readSafetensors, tensorAsFloat32, tensorAsInt32, writeSafetensors } from '../io/safetensors.js';
import type { SafetensorsFile, StoredTensor, TensorToWrite } from '../io/safetensors.js';
import { addModel, describeModel, isBuffer } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { HostModel, Model, StateDict } from '../nn/model.js';
import { whereNonFinite } from '../nn/nonFinite.js';
import { ModelPlace } from '../nn/place.js';
import { openExecutor } from '../program/executor.js';
import type { Executor } from '../program/executor.js';
import type { BackwardSelection } from '../graph/backward.js';
import {
  chosenDataset,
  chosenModel,
  chosenRules,
  chosenWeights,
  dataOptions,
  machineOptions,
  modelOptions,
  openDevice,
  pixelRange,
  precisionOption,
  referenceAdapter,
  ruleOption,
  shownAdapter,
  splitOption,
} from './common.js';
import { modelWith } from './inference.js';
import { choice, flag, integer, text } from './options.js';
import { defineVerb } from './verb.js';
import type { ShownAdapter } from './verb.js';

/** Images and labels of `--inputs`. */
interface Batch {
  readonly count: number;
  /** [count, C, H, W] */
  readonly images: Float32Array;
  /** [count] */
  readonly labels: Uint32Array;
}

function tensorOf(file: SafetensorsFile, name: string): StoredTensor {
  const tensor = file.tensors.get(name);
  const found = [...file.tensors.keys()].slice(0, 8).join(', ') || 'nothing';
  check(
    tensor !== undefined,
    'bad-file',
    `${file.source}: there is no tensor "${name}"; the file holds ${found}`,
    name,
  );
  return tensor;
}

/** Reads and checks `--inputs`. Throws `bad-file`, `bad-dtype`, `bad-shape` or `bad-range` naming the tensor. */
async function readBatch(path: string, definition: ModelDefinition): Promise<Batch> {
  const file = await readSafetensors(path);
  const input = tensorOf(file, 'input');
  check(input.dtype === 'F32', 'bad-dtype', `${path}: input must be F32, got ${input.dtype}`, 'input');
  const [count = 0, ...image] = input.shape;
  check(
    count > 0 && image.join() === definition.input.join(),
    'bad-shape',
    `${path}: input must be [N, ${definition.input.join(', ')}] with N of at least 1, got [${input.shape.join(', ')}]`,
    'input',
  );
  const labelTensor = tensorOf(file, 'labels');
  check(
    labelTensor.shape.join() === `${count}`,
    'bad-shape',
    `${path}: labels must be [${count}], got [${labelTensor.shape.join(', ')}]`,
    'labels',
  );
  const labels = tensorAsInt32(await labelTensor.read());
  const bad = labels.findIndex((label) => label < 0 || label >= definition.classes);
  check(
    bad < 0,
    'bad-range',
    `${path}: label ${bad} is ${labels[bad]}, expected 0 to ${definition.classes - 1}`,
    'labels',
  );
  const images = tensorAsFloat32(await input.read());
  const strange = images.findIndex((pixel) => !Number.isFinite(pixel));
  check(strange < 0, 'bad-range', `${path}: input holds ${images[strange]} at ${strange}`, 'input');
  return { count, images, labels: Uint32Array.from(labels) };
}

/** Whole data sets as one batch. */
const batchOf = (dataset: Dataset): Batch => ({
  count: dataset.count,
  images: pixelRange(dataset, 0, dataset.count),
  labels: Uint32Array.from(dataset.labels),
});

/** Where the logits of the first image with one that is not finite stop being finite. */
function whereFirst(
  definition: ModelDefinition,
  weights: StateDict,
  { images, count }: Batch,
  logits: Float32Array,
  precision: Precision,
): string | undefined {
  const image = Math.floor(firstNonFinite(logits) / definition.classes);
  const size = images.length / count;
  return whereNonFinite(definition, weights, images.subarray(image * size, (image + 1) * size), precision);
}

/** Height and width of the images in a file, for models that leave them open. */
async function imageSize(path: string): Promise<readonly [number, number] | undefined> {
  const [, , height, width] = (await readSafetensors(path)).tensors.get('input')?.shape ?? [];
  return height === undefined || width === undefined ? undefined : [height, width];
}

interface GradientSettings {
  readonly definition: ModelDefinition;
  readonly rules: BackwardSelection;
  readonly training: boolean;
  /** Factor of the summed loss. */
  readonly scale: number;
  /** State-dict keys whose gradients are wanted. */
  readonly keys: readonly string[];
  readonly precision: Precision;
}

/** Gradients that f16 holds on the way are 2^10 times as large, because small ones are many and large ones few. */
const liftOf = (precision: Precision): number => (precision === 'f16' ? 2 ** 10 : 1);

/** Throws `diverged` where f16 was left at the upper end. */
function withoutLift(values: Float32Array, name: string, precision: Precision): Float32Array {
  if (precision === 'f32') return values;
  check(values.every(Number.isFinite), 'diverged', `${name} overflows in f16; use --precision f32`, 'precision');
  return values.map((value) => value / liftOf(precision));
}

/** The graph of one forward and backward pass; the tensors to read by the name they are written under. */
function gradientGraph(settings: GradientSettings, count: number) {
  const { definition, training, keys } = settings;
  const graph = new Graph();
  const images = graph.input('input', [count, ...definition.input]);
  const labels = graph.input('labels', [count], 'u32');
  // Without a source of random numbers dropout is off in training mode, too.
  const network = addModel(graph, definition, images, { training, updateStatistics: training });
  const losses = graph.scope({ layer: 'loss' }, () =>
    graph.one('loss', [network.logits, labels], { kind: 'crossEntropy' }),
  );
  const targets = [images, ...keys.map((key) => network.tensors.get(key)!)];
  const found = gradients(graph, {
    loss: losses,
    scale: settings.scale * liftOf(settings.precision),
    targets,
    rules: settings.rules,
  });
  const results = new Map<string, Tensor>([
    ['logits', network.logits],
    ['losses', losses],
    ['grad.input', found.get(images)!],
  ]);
  for (const key of keys) results.set(`grad.${key}`, found.get(network.tensors.get(key)!)!);
  for (const [name, tensor] of results) graph.output(name, tensor);
  if (training) {
    for (const spec of describeModel(definition).layout.specs)
      if (isBuffer(spec)) results.set(`after.${spec.name}`, network.tensors.get(spec.name)!);
  }
  return { graph, images, labels, network, results };
}

type Values = Map<string, { shape: readonly number[]; data: Float32Array }>;

/** Computes everything with a model on a device, or in the reference. */
async function compute(
  model: Model | HostModel,
  device: 'gpu' | 'reference',
  settings: GradientSettings,
  batch: Batch,
  signal: AbortSignal,
): Promise<Values> {
  const built = gradientGraph(settings, batch.count);
  const place = await ModelPlace.open(model, device);
  const { precision } = settings;
  using executor: Executor = await openExecutor(built.graph, {
    device: place.device,
    stores: place.stores(built.network),
    precision,
  });
  executor.write(built.images, batch.images);
  executor.write(built.labels, batch.labels);
  await executor.run([{ segment: 'main' }], { signal });
  const values: Values = new Map();
  for (const [name, tensor] of built.results) {
    const data = await executor.read(tensor);
    values.set(name, {
      shape: tensor.shape,
      data: name.startsWith('grad.') ? withoutLift(data, name, precision) : data,
    });
  }
  return values;
}

async function onDevice(
  wanted: Parameters<typeof openDevice>[0],
  settings: GradientSettings,
  weights: StateDict,
  batch: Batch,
  signal: AbortSignal,
): Promise<{ adapter: ShownAdapter; values: Values }> {
  using device = await openDevice(wanted);
  const model = modelWith(device, settings.definition, weights);
  return { adapter: shownAdapter(device), values: await compute(model, 'gpu', settings, batch, signal) };
}

/** The tensors to write, once all are finite, and the loss of the batch. Throws `diverged`. */
function finished(
  values: Values,
  settings: GradientSettings,
  weights: StateDict,
  batch: Batch,
): { readonly loss: number; readonly tensors: Map<string, TensorToWrite> } {
  for (const [name, { data }] of values)
    expectFinite(
      data,
      (i) => `${name}[${i}]`,
      () => (name === 'logits' ? whereFirst(settings.definition, weights, batch, data, settings.precision) : ''),
    );
  const losses = values.get('losses')!.data;
  const loss = settings.scale * losses.reduce((sum, each) => sum + each, 0);
  const tensors = new Map<string, TensorToWrite>();
  for (const [name, value] of values) {
    tensors.set(name, value);
    if (name === 'logits') tensors.set('loss', { shape: [1], data: Float32Array.of(loss) });
  }
  return { loss, tensors };
}

/** `linbp grad`: logits, losses and gradients of one batch as safetensors. */
export const gradVerb = defineVerb({
  name: 'grad',
  summary: 'writes logits, losses and gradients of a batch under any rule',
  examples: [
    'linbp grad --model mlp --limit 4 --out gradients.safetensors',
    'linbp grad --model mlp --limit 4 --rule linbp --device reference --out reference.safetensors',
  ],
  options: {
    ...modelOptions,
    ...ruleOption,
    inputs: text({ help: 'safetensors with input [N, C, H, W] F32 and labels [N] I32', placeholder: 'FILE' }),
    ...dataOptions,
    limit: integer({ help: 'without --inputs: the first N images of --dataset', min: 1, max: 65536 }),
    ...splitOption,
    loss: choice(['mean', 'sum'], { help: 'how the losses of the batch are reduced', byDefault: 'mean' }),
    mode: choice(['eval', 'train'], {
      help: 'train uses batch statistics and writes after.<bn>.*; dropout is off in both',
      byDefault: 'eval',
    }),
    inputOnly: flag('no gradients of parameters'),
    out: text({ help: 'the file to write', placeholder: 'FILE', byDefault: 'gradients.safetensors' }),
    ...precisionOption,
    ...machineOptions,
  },
  needs({ inputs }) {
    const ofData = [inputs === undefined, 'goes with the images of a data set, not with --inputs'] as const;
    return { dataset: ofData, data: ofData, split: ofData, resize: ofData, crop: ofData };
  },
  notes: ['', 'Writes logits, loss [1], losses [N], grad.input and grad.<key> for every parameter, all F32.'],
  async run(options, context) {
    const { inputs, out } = options;
    check(
      (inputs === undefined) !== (options.limit === undefined),
      'bad-argument',
      '--inputs FILE is needed: safetensors with input [N, C, H, W] and labels [N]; or --limit N images of --dataset',
      'inputs',
    );
    await ensureWritableFile(out);
    const definition = await chosenModel(options, inputs === undefined ? undefined : await imageSize(inputs));
    const rules = chosenRules(options.rule, definition);
    const batch =
      inputs === undefined
        ? batchOf(await chosenDataset(options, options.split, definition, context))
        : await readBatch(inputs, definition);
    const weights = await chosenWeights(definition, options, context.progress);
    // Rescaling a whole branch per sample defines the gradient of the input only.
    const inputRule = rules.specs.some((spec) => spec.match?.kind === 'block');
    if (inputRule && !options.inputOnly)
      context.progress.line(`note: ${rules.written} defines no gradients of parameters; only grad.input is written`);
    const learnable = describeModel(definition).layout.specs.filter((spec) => !isBuffer(spec));
    const settings: GradientSettings = {
      definition,
      rules: rules.selection,
      training: options.mode === 'train',
      scale: options.loss === 'mean' ? 1 / batch.count : 1,
      keys: inputRule || options.inputOnly ? [] : learnable.map((spec) => spec.name),
      precision: options.precision,
    };
    const { device } = options;
    const { signal } = context;
    const half = options.precision === 'f16';
    check(
      !half || device !== 'reference',
      'bad-argument',
      'the reference computes in float64, not in f16',
      'precision',
    );
    const { adapter, values } =
      device === 'reference'
        ? { adapter: referenceAdapter, values: await compute({ definition, weights }, device, settings, batch, signal) }
        : await onDevice({ device, adapter: options.adapter }, settings, weights, batch, signal);
    const { loss, tensors } = finished(values, settings, weights, batch);
    await writeSafetensors(out, tensors, {
      model: definition.name,
      rule: rules.written,
      mode: options.mode,
      loss: options.loss,
    });
    context.print(
      `${definition.name}: ${batch.count} samples, ${options.loss} loss ${loss.toPrecision(7)}, rule ${rules.written}`,
    );
    context.print(`wrote ${tensors.size} tensors to ${out}`);
    return {
      adapter,
      settings: { rule: rules.written },
      fields: { count: batch.count, loss, parameterGradients: settings.keys.length, tensors: [...tensors.keys()], out },
    };
  },
});
