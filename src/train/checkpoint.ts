import { check, LinbpError } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { ensureWritableFile } from '../io/atomic.js';
import { statOf } from '../io/folders.js';
import { readSafetensors, tensorAsFloat32, writeSafetensors } from '../io/safetensors.js';
import type { SafetensorsFile, SafetensorsTensor, TensorToWrite } from '../io/safetensors.js';
import { describeModel, isBuffer } from '../nn/definition.js';
import type { ModelDefinition, ModelDescription } from '../nn/definition.js';
import { quotedPath } from '../quote.js';
import type { EngineSnapshot, EngineWeights } from './engine.js';
import { lossScaleStates } from './lossScale.js';
import type { LossScaleState } from './lossScale.js';
import type { EpochResult } from './progress.js';

/** Where a training run stands. */
export interface TrainingPosition {
  /** Epoch being trained, from 0. */
  readonly epoch: number;
  /** Samples of it that were taken already. */
  readonly samples: number;
  /** Steps since the beginning. */
  readonly step: number;
  /** Sums of the losses and of the correct answers of the epoch so far. */
  readonly lossSum: number;
  readonly correctSum: number;
  /** Seconds of training spent on the epoch so far. */
  readonly seconds: number;
}

/** Whether a run of so many samples an epoch, in batches, comes by a position. */
export function isReachable(
  { epoch, samples, step }: TrainingPosition,
  run: { readonly samples: number; readonly batch: number },
): boolean {
  const whole = samples % run.batch === 0 || samples === run.samples;
  const perEpoch = Math.ceil(run.samples / run.batch);
  return whole && samples <= run.samples && step === epoch * perEpoch + Math.ceil(samples / run.batch);
}

/** Everything that a run needs to go on as if it had never stopped. */
export interface Checkpoint {
  readonly snapshot: EngineSnapshot;
  readonly position: TrainingPosition;
  /** Results of finished epochs, as JSON. */
  readonly history: string;
  readonly fingerprint: Readonly<Record<string, string>>;
  readonly kernels: readonly string[];
}

/**
 * The two files of a checkpoint: weights alone, which PyTorch loads, and all that is needed to resume. Either name
 * may be given.
 */
export function checkpointPaths(path: string): { readonly weights: string; readonly state: string } {
  const base = path.replace(/(\.state)?\.safetensors$/, '');
  check(
    base !== '' && !/[/\\]$/.test(base),
    'bad-argument',
    `"${path}" is not the name of a checkpoint file`,
    'checkpoint',
  );
  return { weights: `${base}.safetensors`, state: `${base}.state.safetensors` };
}

/**
 * Throws `not-writable` unless both files of a checkpoint can be written, whose folder is created. They are read back
 * and replaced after every epoch, so pipes and devices cannot hold them.
 */
export async function ensureWritableCheckpoint(path: string): Promise<void> {
  for (const file of Object.values(checkpointPaths(path))) {
    await ensureWritableFile(file);
    const there = await statOf(file);
    const reason = `cannot write ${quotedPath(file)}: a checkpoint needs a regular file`;
    check(there === undefined || there.isFile(), 'not-writable', reason, file);
  }
}

/** How a run that goes on compares with the one before. */
export interface ResumedRun {
  /** Whether the same kernels are in use as then; with others the results agree only up to rounding. */
  readonly sameKernels: boolean;
  readonly sameSchedule: boolean;
}

/** State-dict entries cut out of the flat stores. */
export function stateDictEntries(
  definition: ModelDefinition,
  { parameters, buffers }: EngineWeights,
): Map<string, { readonly shape: readonly number[]; readonly data: Float32Array | Float64Array }> {
  const { layout } = describeModel(definition);
  return new Map(
    layout.specs.map((spec) => {
      const offset = layout.offsets.get(spec.name)!;
      return [
        spec.name,
        {
          shape: spec.shape,
          data: (isBuffer(spec) ? buffers : parameters).slice(offset, offset + elementCount(spec.shape)),
        },
      ];
    }),
  );
}

/**
 * Writes both files. The one to resume from holds a copy of the weights, so that it is consistent by itself, whatever
 * happens between the two writes.
 *
 * @param stateNames names of the optimizer's states
 * @throws LinbpError `not-writable`
 */
export async function writeCheckpoint(
  path: string,
  definition: ModelDefinition,
  stateNames: readonly string[],
  checkpoint: Checkpoint,
): Promise<void> {
  const { weights, state } = checkpointPaths(path);
  const { snapshot, position } = checkpoint;
  const entries = stateDictEntries(definition, snapshot);
  const tensors = new Map<string, TensorToWrite>([...entries].map(([key, tensor]) => [`model.${key}`, tensor]));
  for (const [index, name] of stateNames.entries()) {
    const flat = { parameters: snapshot.states[index]!, buffers: new Float32Array(snapshot.buffers.length) };
    const learnable = learnableKeys(describeModel(definition));
    for (const [key, tensor] of stateDictEntries(definition, flat))
      if (learnable.has(key)) tensors.set(`optimizer.${name}.${key}`, tensor);
  }
  const { lossScale } = snapshot;
  const metadata = {
    ...(lossScale && { lossScale: JSON.stringify(lossScale) }),
    format: 'linbp-training-1',
    position: JSON.stringify(position),
    history: checkpoint.history,
    settings: JSON.stringify(checkpoint.fingerprint),
    kernels: JSON.stringify(checkpoint.kernels),
  };
  await writeSafetensors(weights, entries, {
    format: 'pt',
    model: definition.name,
    epoch: String(position.epoch),
    step: String(position.step),
  });
  await writeSafetensors(state, tensors, metadata);
}

const learnableKeys = (description: ModelDescription): Set<string> =>
  new Set(description.layout.specs.filter((spec) => !isBuffer(spec)).map((spec) => spec.name));

/** Settings that are compared only where both runs have them. */
const mayBeAbsent: readonly string[] = ['testImages', 'startsFrom'];

/**
 * Reads the file to resume from and checks it against the run that wants to go on, which may have a schedule of
 * another length.
 *
 * @throws LinbpError `missing-file`; `bad-file` naming every tensor or setting that differs
 */
export async function readCheckpoint(
  path: string,
  definition: ModelDefinition,
  stateNames: readonly string[],
  fingerprint: Readonly<Record<string, string>>,
): Promise<Checkpoint> {
  const file = await readSafetensors(checkpointPaths(path).state);
  const source = file.source;
  check(file.metadata['format'] === 'linbp-training-1', 'bad-file', `${source} is not a training checkpoint`, 'resume');
  const settings = parsed<Record<string, string>>(file, 'settings', isTextRecord);
  const different = Object.keys({ ...fingerprint, ...settings }).filter(
    (key) =>
      settings[key] !== fingerprint[key] &&
      key !== 'maxEpochs' &&
      // A run may go on without an evaluation, or begin to have one; what it started from need not be given again.
      !(mayBeAbsent.includes(key) && (settings[key] === undefined || fingerprint[key] === undefined)),
  );
  const differences = different.map(
    (key) => `${key} is "${settings[key] ?? 'nothing'}" there and "${fingerprint[key] ?? 'nothing'}" here`,
  );
  check(differences.length === 0, 'bad-file', `${source} belongs to another run: ${differences.join('; ')}`, 'resume');
  return {
    snapshot: { ...(await readSnapshot(file, definition, stateNames)), ...readLossScale(file) },
    position: parsed<TrainingPosition>(file, 'position', isPosition),
    history: file.metadata['history'] ?? '[]',
    fingerprint: settings,
    kernels: parsed<string[]>(
      file,
      'kernels',
      (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
    ),
  };
}

async function readSnapshot(
  file: SafetensorsFile,
  definition: ModelDefinition,
  stateNames: readonly string[],
): Promise<EngineSnapshot> {
  const description = describeModel(definition);
  const { layout } = description;
  const learnable = learnableKeys(description);
  const wide = [...file.tensors.values()].every((tensor) => tensor.dtype === 'F64');
  const flat = (elements: number): Float32Array | Float64Array =>
    wide ? new Float64Array(elements) : new Float32Array(elements);
  const parameters = flat(layout.parameterElements);
  const buffers = flat(layout.bufferElements);
  const states = stateNames.map(() => flat(layout.parameterElements));
  const problems: string[] = [];
  const expected = new Set<string>();
  const place = async (
    name: string,
    shape: readonly number[],
    target: Float32Array | Float64Array,
    offset: number,
  ): Promise<void> => {
    expected.add(name);
    const tensor = file.tensors.get(name);
    if (tensor === undefined) problems.push(`missing ${name}`);
    else if (tensor.shape.join() !== shape.join())
      problems.push(`${name}: expected [${shape.join(', ')}], got [${tensor.shape.join(', ')}]`);
    else if (tensor.dtype !== (wide ? 'F64' : 'F32'))
      problems.push(`${name}: expected ${wide ? 'F64' : 'F32'}, got ${tensor.dtype}`);
    else {
      const values = valuesOf(await tensor.read());
      const bad = values.findIndex((value) => !Number.isFinite(value) || (value < 0 && nonNegative.test(name)));
      if (bad >= 0) problems.push(`${name}: value ${bad} is ${values[bad]}`);
      target.set(values, offset);
    }
  };
  for (const spec of layout.specs) {
    const offset = layout.offsets.get(spec.name)!;
    await place(`model.${spec.name}`, spec.shape, isBuffer(spec) ? buffers : parameters, offset);
    if (learnable.has(spec.name))
      for (const [index, name] of stateNames.entries())
        await place(`optimizer.${name}.${spec.name}`, spec.shape, states[index]!, offset);
  }
  for (const name of file.tensors.keys()) if (!expected.has(name)) problems.push(`unexpected ${name}`);
  check(
    problems.length === 0,
    'bad-file',
    `${file.source} does not hold a state of this run: ${problems.join('; ')}`,
    'resume',
  );
  return { parameters, buffers, states };
}

/** Means of squares: optimizers and batch norms take their square root. */
const nonNegative = /^optimizer\.exp_avg_sq\.|\.running_var$/;

/** The loss scale of runs that have one; runs without differ in their settings. */
function readLossScale(file: SafetensorsFile): Pick<EngineSnapshot, 'lossScale'> {
  return file.metadata['lossScale'] === undefined
    ? {}
    : { lossScale: parsed<LossScaleState>(file, 'lossScale', isLossScale) };
}

const valuesOf = (tensor: SafetensorsTensor): Float32Array | Float64Array =>
  tensor.dtype === 'F64' ? new Float64Array(new Uint8Array(tensor.data).buffer) : tensorAsFloat32(tensor);

function parsed<T>(file: SafetensorsFile, key: string, valid: (value: unknown) => boolean): T {
  let value: unknown;
  try {
    value = JSON.parse(file.metadata[key] ?? 'null');
  } catch (cause) {
    throw new LinbpError('bad-file', `${file.source}: the metadata entry "${key}" is not JSON`, {
      field: 'resume',
      cause,
    });
  }
  check(valid(value), 'bad-file', `${file.source}: the metadata entry "${key}" is missing or malformed`, 'resume');
  return value as T;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isTextRecord = (value: unknown): boolean =>
  isRecord(value) && Object.values(value).every((each) => typeof each === 'string');
const isLossScale = (value: unknown): boolean =>
  isRecord(value) && lossScaleStates.every((name) => Number.isFinite(value[name]) && (value[name] as number) >= 0);
const isPosition = (value: unknown): boolean =>
  isRecord(value) &&
  (['epoch', 'samples', 'step'] as const).every(
    (key) => Number.isSafeInteger(value[key]) && (value[key] as number) >= 0,
  ) &&
  (['lossSum', 'correctSum', 'seconds'] as const).every((key) => Number.isFinite(value[key]));

/** The results of the epochs before a checkpoint, one for each. Throws `bad-file`. */
export function parseHistory(text: string, epochs: number, path: string): EpochResult[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new LinbpError('bad-file', `${path}: the history of epochs is not JSON`, { field: 'resume', cause });
  }
  const isResult = (each: unknown, index: number): boolean =>
    typeof each === 'object' &&
    each !== null &&
    Object.values(each).every((figure) => typeof figure === 'number' && Number.isFinite(figure)) &&
    'trainLoss' in each &&
    'epoch' in each &&
    each.epoch === index + 1;
  check(
    Array.isArray(value) && value.length === epochs && value.every(isResult),
    'bad-file',
    `${path}: the history of epochs is not a list of results of the ${epochs} finished epochs`,
    'resume',
  );
  return value as EpochResult[];
}
