import { expectSameClasses } from '../data/classes.js';
import { loadDataset } from '../data/load.js';
import type { FitOptions } from '../data/resize.js';
import type { Dataset } from '../data/dataset.js';
import { batchPixels } from '../data/dataset.js';
import { LinbpError, check } from '../errors.js';
import type { ModelDefinition } from '../nn/definition.js';
import { positionTable } from '../nn/definition.js';
import { readWeights } from '../io/weights.js';
import { withClasses } from '../nn/head.js';
import { fitsStateDict, initialState, readStateDict } from '../nn/model.js';
import type { ReadWeightsOptions } from '../nn/model.js';
import type { StateDict } from '../nn/model.js';
import { expectFiniteWeights } from '../nn/nonFinite.js';
import { normalized } from '../nn/normalize.js';
import { modelDefinition, modelNames } from '../nn/zoo/index.js';
import { formatRules, parseRules, ruleNames } from '../rules/parse.js';
import type { RuleSpec } from '../rules/parse.js';
import { resolveRules } from '../rules/resolve.js';
import type { BackwardSelection } from '../graph/backward.js';
import { Device } from '../runtime/device.js';
import { choice, flag, integer, readNumber, text } from './options.js';
import type { Need, Option, OptionValues } from './options.js';
import type { Progress } from './progress.js';
import { openModel } from './modelSource.js';
import type { ShownAdapter, VerbContext } from './verb.js';

/** Options about the network. */
export const modelOptions = {
  model: text({
    help: 'the network: a name ("linbp positions --help" lists them), an ONNX file, or a module such as ./net.js',
    placeholder: 'NAME|FILE',
    byDefault: 'lenet5',
  }),
  classes: integer({ help: 'number of classes; gives the network another last layer', min: 2, max: 1e6 }),
  weights: text({ help: 'its weights (safetensors or PyTorch); random ones unless given', placeholder: 'FILE' }),
  normalize: text({
    help: 'subtract means and divide by deviations first, one number per channel',
    placeholder: 'M,../S,..',
  }),
} as const;

/** Options about the images. */
export const dataOptions = {
  dataset: text({
    help: 'mnist, fashion-mnist, cifar10, cifar10-jpeg, cifar100, digits, folder:PATH or FILE.npz',
    placeholder: 'NAME',
    byDefault: 'digits',
  }),
  data: text({ help: 'the folder that holds mnist/, cifar10/ and so on [LINBP_DATA]', placeholder: 'DIR' }),
  limit: integer({ help: 'use the first N images', min: 1 }),
  resize: integer({ help: 'folder:PATH: length of the short side before the crop', min: 1 }),
  crop: integer({ help: "folder:PATH: side of the square cut from the center [the model's input]", min: 1 }),
} as const;

/** Values of {@link dataOptions}. */
type DataValues = OptionValues<typeof dataOptions>;

/** Which half of the data. */
export const splitOption = {
  split: choice(['train', 'test'], { help: 'dataset split', byDefault: 'test' }),
} as const;

/** Options of verbs that compute on a device only. */
export const adapterOptions = {
  device: choice(['auto', 'software'], { help: 'best adapter, or one on the CPU', byDefault: 'auto' }),
  adapter: text({ help: 'which GPU of several; "linbp doctor" lists them', placeholder: 'NAME|INDEX' }),
} as const;

/** The same with the seed. */
export const deviceOptions = {
  seed: integer({ help: 'seed of everything random', byDefault: 0, min: 0, max: 2 ** 32 - 1 }),
  ...adapterOptions,
} as const;

/** Options of verbs that compute on a device or with the reference. */
export const machineOptions = {
  ...deviceOptions,
  device: choice(['auto', 'software', 'reference'], {
    help: 'best adapter, one on the CPU, or plain float64 loops',
    byDefault: 'auto',
  }),
} as const;

/** Batches of steps that are measured or trained. */
export const stepBatchOption = {
  batch: integer({ help: 'images per step', byDefault: 64, min: 1, max: 65536 }),
} as const;

/** Batches of evaluations and predictions. */
export const passBatch = (byDefault: number): Option<number> =>
  integer({ help: 'images at a time', byDefault, min: 1 });

/** Batches of attacks. */
export const programBatch = (byDefault: number, max: number): Option<number> =>
  integer({
    help: 'images per program; affects results only under rules with scope=batch',
    byDefault,
    min: 1,
    max,
  });

/** Whether a run that left a part of its results goes on. */
export const resumeOption = { resume: flag('continue the interrupted run in --out') } as const;

/** Which step is profiled or tuned. */
export const whatOption = {
  what: choice(['train', 'attack', 'forward'], {
    help: 'a training step, a PGD step or a forward pass',
    byDefault: 'train',
  }),
} as const;

/** Forward passes have no backward rule. */
export const ruleNeeded = ({ what }: { readonly what: string }): { readonly rule: Need } => ({
  rule: [what !== 'forward', 'does not go with --what forward, which has no backward'],
});

/** How programs store what lies between kernels. */
export const precisionOption = {
  precision: choice(['f32', 'f16'], {
    help: 'how activations and gradients are stored; f16 needs an adapter with shader-f16',
    byDefault: 'f32',
  }),
} as const;

/** What every option of rules says: their names, and how one is written. */
export const ruleHelp = `backward rules, such as linbp:from=layer3 (${ruleNames.join(', ')})`;

/** How an evaluation computes, here or as a job. */
export const evaluationOptions = { batch: passBatch(128), ...precisionOption } as const;

/** The backward rule. */
export const ruleOption = {
  rule: text({
    help: ruleHelp,
    placeholder: 'RULE',
    byDefault: 'bp',
  }),
} as const;

/**
 * A network as the options state it, `--classes` and `--normalize` included.
 * `size` is the height and width of the images for ONNX files that leave them open.
 * Throws `unknown-model`, `bad-argument`, `bad-range`, `bad-shape` or `unsupported`.
 */
export async function chosenModel(
  options: { readonly model: string; readonly normalize: string | undefined; readonly classes?: number | undefined },
  size?: readonly [number, number],
): Promise<ModelDefinition> {
  return adaptedModel(await openModel(options.model, size), options);
}

/** A network with the number of classes and the normalization that options ask for. Throws as {@link chosenModel}. */
export function adaptedModel(
  named: ModelDefinition,
  options: { readonly normalize?: string | undefined; readonly classes?: number | undefined },
): ModelDefinition {
  const plain = options.classes === undefined ? named : withClasses(named, options.classes);
  if (options.normalize === undefined) return plain;
  const [means, deviations, ...rest] = options.normalize.split('/').map((list) => list.split(',').map(readNumber));
  const channels = plain.input[0];
  check(
    rest.length === 0 && means?.length === channels && deviations?.length === channels,
    'bad-shape',
    `--normalize must hold ${channels} mean(s), "/" and ${channels} deviation(s), such as 0.1307/0.3081; ` +
      `got "${options.normalize}"`,
    'normalize',
  );
  const valid =
    means.every(Number.isFinite) && deviations.every((deviation) => deviation > 0 && Number.isFinite(deviation));
  check(
    valid,
    'bad-range',
    `--normalize needs finite means and positive deviations, got "${options.normalize}"`,
    'normalize',
  );
  return normalized(plain, { means, deviations });
}

/**
 * The weights of a network from a file. Throws `missing-file`, or `bad-file` that says which network the file fits,
 * where it is one of linbp's.
 */
export async function namedWeights(
  definition: ModelDefinition,
  path: string,
  options: ReadWeightsOptions = {},
): Promise<StateDict> {
  try {
    const weights = await readStateDict(definition, path, options);
    expectFiniteWeights(weights, definition.name);
    return weights;
  } catch (error) {
    if (!(error instanceof LinbpError) || error.field !== 'weights' || error.code === 'diverged') throw error;
    const shapes = new Map([...(await readWeights(path))].map(([name, { shape }]) => [name, shape]));
    const fits = modelNames.filter((name) => name !== definition.name && fitsStateDict(modelDefinition(name), shapes));
    if (fits.length === 0) throw error;
    throw new LinbpError('bad-file', `${error.message} (the file looks like ${fits.join(' or ')})`, {
      field: 'weights',
      cause: error,
    });
  }
}

/** The weights that the options state, or random ones with a note. Throws `missing-file` or `bad-file`. */
export async function chosenWeights(
  definition: ModelDefinition,
  options: { readonly weights: string | undefined; readonly seed: number },
  progress: Progress,
): Promise<StateDict> {
  if (options.weights !== undefined) return namedWeights(definition, options.weights);
  if (definition.weights !== undefined) return initialState(definition, options.seed);
  progress.line(`note: no --weights given; ${definition.name} has random weights (seed ${options.seed})`);
  return initialState(definition, options.seed);
}

/** The rules that `--rule` states, checked against the network. */
export interface ChosenRules {
  readonly specs: readonly RuleSpec[];
  readonly selection: BackwardSelection;
  /** The notation with defaults filled in. */
  readonly written: string;
}

/** Throws `unknown-rule` with the nearest name, `unknown-layer`, `unknown-option` or `bad-range`. */
export function chosenRules(notation: string, definition: ModelDefinition): ChosenRules {
  const specs = parseRules(notation);
  return { specs, selection: resolveRules(specs, positionTable(definition)), written: formatRules(specs) };
}

/**
 * Loads the images that the options state, and prints the data set's note. Throws as `loadDataset` does.
 */
export async function chosenDataset(
  options: DataValues,
  split: 'train' | 'test',
  definition: ModelDefinition,
  { signal, progress }: VerbContext,
): Promise<Dataset> {
  const folder = options.dataset.startsWith('folder:');
  for (const name of ['resize', 'crop'] as const)
    check(folder || options[name] === undefined, 'bad-argument', `--${name} goes with --dataset folder:PATH`, name);
  let dataset: Dataset;
  try {
    dataset = await loadDataset({
      dataset: options.dataset,
      split,
      classes: definition.classes,
      ...(options.data !== undefined && { dataFolder: options.data }),
      ...(options.limit !== undefined && { limit: options.limit }),
      ...(folder && folderFit(options, definition)),
      signal,
      onProgress: (done: number, total: number) =>
        progress.update('reading', done / total, '', { total, unit: 'images' }),
    });
  } finally {
    progress.clear();
  }
  checkFits(dataset, definition);
  if (dataset.note !== undefined) progress.line(`note: ${dataset.note}`);
  return dataset;
}

/**
 * Cuts a folder's images to the network's input; ImageNet's networks take the usual 224 (SqueezeNet's Caffe weights
 * 227) of 256. Images that have the input's size already are taken as they are, unless sizes are asked for.
 */
export function folderFit(
  options: { readonly resize?: number | undefined; readonly crop?: number | undefined },
  definition: ModelDefinition,
): FitOptions {
  const [channels, height, side] = definition.input;
  const crop = options.crop ?? side;
  return {
    crop,
    resize: options.resize ?? (crop === 224 || crop === 227 ? 256 : crop),
    channels: channels === 1 ? 1 : 3,
    ...(options.resize === undefined && options.crop === undefined && { asTheyAre: [height, side] }),
  };
}

/** Throws `bad-shape` unless the images have the network's input size and the data set its classes. */
export function checkFits(dataset: Dataset, definition: ModelDefinition): void {
  const shape = [dataset.channels, dataset.height, dataset.width];
  check(
    shape.join() === definition.input.join(),
    'bad-shape',
    `${definition.name} takes images [${definition.input.join(', ')}], ${dataset.name} has [${shape.join(', ')}]`,
    'dataset',
  );
  expectSameClasses(definition, dataset, 'dataset');
}

/** The CPU reference in the place of an adapter. */
export const referenceAdapter: ShownAdapter = {
  vendor: 'linbp',
  architecture: 'float64',
  description: 'float64 reference on the CPU',
  software: true,
};

/** What `--json` says where nothing was computed. */
export const noAdapter: ShownAdapter = {
  vendor: 'linbp',
  architecture: 'none',
  description: 'no device: nothing was computed',
  software: true,
};

/** Shows how many pipelines of a program are compiled; `progress.clear()` takes the bar away. */
export const compileProgress =
  (progress: Progress) =>
  (done: number, total: number): void =>
    progress.update('compiling', done / total, '', { total, unit: 'pipelines' });

/** What `--json` says about a device. */
export function shownAdapter(device: Device): ShownAdapter {
  const { vendor, architecture, description, software } = device.adapterInfo;
  return { vendor, architecture, description, software };
}

/** Opens the device of `--device auto|software` and `--adapter`. Throws `no-adapter`. */
export async function openDevice(wanted: {
  readonly device: 'auto' | 'software';
  readonly adapter: string | undefined;
}): Promise<Device> {
  const { device, adapter } = wanted;
  return Device.open({ device, ...(adapter !== undefined && { adapter }) });
}

/** Images `from` to `to` - 1 of a data set as pixels in [0, 1]. */
export function pixelRange(dataset: Dataset, from: number, to: number): Float32Array {
  return batchPixels(
    dataset,
    Array.from({ length: to - from }, (_, i) => from + i),
  );
}

/** A fraction as a percentage with two decimals. */
export const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
