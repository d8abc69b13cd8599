import { check, LinbpError } from '../errors.js';
import { divergence } from '../finite.js';
import { elementCount } from '../graph/types.js';
import type { Precision, Tensor } from '../graph/types.js';
import { writeSafetensors } from '../io/safetensors.js';
import { readWeights } from '../io/weights.js';
import { storesOf } from '../program/store.js';
import type { Device } from '../runtime/device.js';
import { BufferUsage } from '../runtime/flags.js';
import { Turns } from '../runtime/turns.js';
import {
  expectDevice,
  expectFields,
  expectMembers,
  expectOneOf,
  expectPixels,
  expectStateDict,
  expectText,
} from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { describeModel, isBuffer } from './definition.js';
import { expectFiniteLogits, ForwardPass } from './forward.js';
import { headOf } from './head.js';
import { plainKeys, withoutBesides, withoutSameBesides } from './stateDictKeys.js';
import { initialValues } from './initialValues.js';
import type { GraphStores, ModelDefinition, ModelDescription, StateDict } from './definition.js';
import { nonFiniteWeight } from './nonFinite.js';

export type { StateDict } from './definition.js';

/** A network with its weights on the CPU, for the float64 reference, which needs no GPU. */
export interface HostModel {
  readonly definition: ModelDefinition;
  /** By state-dict key, for instance of {@link initialState} or {@link readStateDict}. */
  readonly weights: StateDict;
}

/** Every way in which a state dict differs from what a model needs, one line each. */
export function stateDictDifferences(
  description: ModelDescription,
  found: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): string[] {
  const lines: string[] = [];
  const known = new Set<string>();
  for (const spec of description.layout.specs) {
    known.add(spec.name);
    const tensor = found.get(spec.name);
    if (tensor === undefined) lines.push(`missing ${spec.name} [${spec.shape.join(', ')}]`);
    else if (tensor.shape.join() !== spec.shape.join())
      lines.push(`${spec.name}: expected [${spec.shape.join(', ')}], got [${tensor.shape.join(', ')}]`);
  }
  for (const name of found.keys()) if (!known.has(name)) lines.push(`unexpected ${name}`);
  return lines;
}

/** Whether tensors of these names and shapes are exactly the weights of a network. */
export function fitsStateDict(definition: ModelDefinition, shapes: ReadonlyMap<string, readonly number[]>): boolean {
  const entries = new Map([...shapes].map(([name, shape]) => [name, { shape }]));
  const found = withoutBesides(definition, plainKeys(entries));
  return stateDictDifferences(describeModel(definition), found).length === 0;
}

/**
 * The weights that came with a network, and PyTorch's default initial weights for all others, drawn from `seed`
 * (0..2^32-1; 0 by default), by state-dict key.
 * Throws `bad-range` for another seed.
 */
export function initialState(definition: ModelDefinition, seed = 0): StateDict {
  check(
    Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32,
    'bad-range',
    `seed must be an integer in 0..2^32-1, got ${seed}`,
    'seed',
  );
  const { specs } = describeModel(definition).layout;
  return new Map(
    specs.map((spec, index) => [
      spec.name,
      definition.weights?.get(spec.name) ?? { shape: spec.shape, data: initialValues(spec, index, seed) },
    ]),
  );
}

/** Options of {@link readStateDict}. */
export interface ReadWeightsOptions {
  /** Ignore the last layer of the file and initialize a new one, for other classes than the file's. */
  readonly newHead?: boolean;
  /** Seed of the new layer; 0 by default. */
  readonly seed?: number;
}

/**
 * The weights of a network from a file: safetensors, the index of sharded safetensors, or PyTorch (`.pth`, `.pt`,
 * `.ckpt`). A `module.` prefix and `num_batches_tracked` are tolerated.
 * Throws `missing-file`, or one `bad-file` that counts the missing, extra and mis-shaped tensors and shows the first.
 */
export async function readStateDict(
  definition: ModelDefinition,
  path: string,
  options: ReadWeightsOptions = {},
): Promise<StateDict> {
  const file = await withoutSameBesides(definition, plainKeys(await readWeights(path)), path);
  if (options.newHead === true) {
    const initial = initialState(definition, options.seed);
    for (const key of headOf(definition).keys) {
      const { shape, data } = initial.get(key)!;
      file.set(key, { shape, values: () => Promise.resolve(data) });
    }
  }
  const differences = stateDictDifferences(describeModel(definition), file);
  if (differences.length > 0) {
    throw new LinbpError(
      'bad-file',
      `${path} does not hold the weights of ${definition.name}: ${summarized(differences)}`,
      { field: 'weights' },
    );
  }
  const state = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
  for (const [name, tensor] of file) state.set(name, { shape: tensor.shape, data: await tensor.values() });
  return state;
}

/** The first differences and how many more there are; a file of another network differs in hundreds of tensors. */
function summarized(differences: readonly string[]): string {
  const kinds = [/^missing /, /^(?!missing |unexpected )/, /^unexpected /];
  const first = kinds.flatMap((kind) => differences.filter((line) => kind.test(line)).slice(0, 1));
  const shown = [...new Set([...first, ...differences])]
    .slice(0, 3)
    .map((line) => (line.length > 160 ? `${line.slice(0, 157)}...` : line));
  const more = differences.length - shown.length;
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

const createFields = { device: true, seed: true } as const;
const logitsFields: FieldNames<LogitsOptions> = {
  batch: true,
  precision: true,
  signal: 'signal',
  onProgress: 'function',
};

/** Options of {@link Model.logits}. */
export interface LogitsOptions {
  /** Images at a time, from 1; default 128. Results do not depend on it. */
  readonly batch?: number;
  /** Default `f32`. */
  readonly precision?: Precision;
  /** Stops between batches with an `aborted` error. */
  readonly signal?: AbortSignal;
  /** Called after each batch with the share of the images that are done, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

const hostInstead =
  "a model lives on a device; with device: 'reference' the others take { definition, weights } in its place";

/** Throws `bad-range` unless a batch is a whole number of images from 1. */
export function expectBatch(batch: number): void {
  const fits = Number.isInteger(batch) && batch >= 1;
  check(fits, 'bad-range', `batch must be a whole number of at least 1, got ${batch}`, 'batch');
}

/**
 * A network's weights on a device, shared by every program compiled for it. The definition says what is computed;
 * programs (training, attack, inference) bind the two buffers held here.
 */
export class Model {
  readonly definition: ModelDefinition;
  readonly device: Device;
  readonly description: ModelDescription;
  /** All learnable parameters in one buffer, laid out as `description.layout` says. */
  readonly parameters: GPUBuffer;
  /** Running statistics, for models with batch norm. */
  readonly buffers: GPUBuffer | undefined;
  /**
   * Whatever reads or changes the weights takes its turn here: a forward pass, a batch of an attack, a block of
   * training steps. So none sees weights that another is about to change.
   */
  readonly turns = new Turns();
  private readonly forward: ForwardPass;
  /** The first of the weights as they were set that is not finite, in words. */
  private fault: string | undefined;
  /** The same for weights that are multiplied in 16 bits. */
  private halfFault: string | undefined;
  private gone = false;

  private constructor(definition: ModelDefinition, device: Device) {
    this.definition = definition;
    this.device = device;
    this.description = describeModel(definition);
    this.forward = new ForwardPass({
      definition,
      device,
      stores: (tensors) => storesOf(device, this.bindings(tensors)),
    });
    const { layout } = this.description;
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
    const store = (elements: number, label: string): GPUBuffer =>
      device.createBuffer({ size: 4 * elements, usage, kind: 'parameters', label });
    this.parameters = store(layout.parameterElements, `${definition.name} parameters`);
    this.buffers = layout.bufferElements === 0 ? undefined : store(layout.bufferElements, `${definition.name} buffers`);
  }

  /** A model with the weights that came with it, or PyTorch's default initial ones, drawn from `seed`. */
  static create(definition: ModelDefinition, options: { readonly device: Device; readonly seed?: number }): Model {
    expectFields(options, createFields);
    expectDevice(options.device, hostInstead);
    return Model.withState(definition, options.device, initialState(definition, options.seed));
  }

  /**
   * A model with the weights of a file, as {@link readStateDict} reads it.
   */
  static async load(definition: ModelDefinition, path: string, options: { readonly device: Device }): Promise<Model> {
    expectFields(options, { device: true });
    expectDevice(options.device, hostInstead);
    return Model.withState(definition, options.device, await readStateDict(definition, path));
  }

  /** Weights that do not fit leave no buffers behind. */
  private static withState(definition: ModelDefinition, device: Device, state: StateDict): Model {
    const model = new Model(definition, device);
    try {
      model.setStateDict(state);
      return model;
    } catch (error) {
      model.destroy();
      throw error;
    }
  }

  /**
   * Replaces all weights.
   *
   * @throws LinbpError `bad-shape` listing every difference between the names and shapes; `bad-argument`, `bad-dtype`,
   * `bad-shape` for what is no map of names to shapes and as many floats
   */
  setStateDict(state: StateDict): void {
    this.alive();
    expectStateDict(state);
    const entries = plainKeys(state);
    const differences = stateDictDifferences(this.description, entries);
    check(
      differences.length === 0,
      'bad-shape',
      `the state dict does not fit ${this.definition.name}: ${summarized(differences)}`,
      'weights',
    );
    const { layout } = this.description;
    const parameters = new Float32Array(layout.parameterElements);
    const buffers = new Float32Array(layout.bufferElements);
    for (const spec of layout.specs)
      (isBuffer(spec) ? buffers : parameters).set(entries.get(spec.name)!.data, layout.offsets.get(spec.name)!);
    const { specs } = layout;
    const factors = new Map(
      specs.filter((spec) => spec.kind === 'weight').map(({ name }) => [name, entries.get(name)!]),
    );
    this.fault = nonFiniteWeight(entries);
    this.halfFault = nonFiniteWeight(factors, 'f16');
    this.turns.runSync(() => {
      this.alive();
      this.device.write(this.parameters, 0, parameters);
      if (this.buffers !== undefined) this.device.write(this.buffers, 0, buffers);
    });
  }

  /**
   * Throws `diverged` where weights were set that are infinite or NaN, or become so in `precision`; `disposed` once the
   * model is destroyed.
   */
  expectUsable(precision: Precision = 'f32'): void {
    this.alive();
    const { name } = this.definition;
    if (this.fault !== undefined) throw divergence(`the weights of ${name} are not finite`, this.fault, 'weights');
    if (precision === 'f16' && this.halfFault !== undefined)
      throw divergence(`the weights of ${name} overflow f16; use f32`, this.halfFault, 'weights');
  }

  /** For those who write the weights' buffers themselves: what was known about their values holds no longer. */
  weightsReplaced(): void {
    this.fault = undefined;
    this.halfFault = undefined;
  }

  /** All weights and running statistics, read back from the device. */
  async stateDict(): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
    return this.turns.run(() => this.readWeights());
  }

  private async readWeights(): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
    this.alive();
    const { layout } = this.description;
    const parameters = new Float32Array(await this.device.read(this.parameters));
    const buffers =
      this.buffers === undefined ? new Float32Array(0) : new Float32Array(await this.device.read(this.buffers));
    return new Map(
      layout.specs.map((spec) => {
        const offset = layout.offsets.get(spec.name)!;
        const data = (isBuffer(spec) ? buffers : parameters).slice(offset, offset + elementCount(spec.shape));
        return [spec.name, { shape: spec.shape, data }];
      }),
    );
  }

  /** Writes the weights as safetensors, which PyTorch loads unchanged. The file appears whole or not at all. */
  async save(path: string, metadata: Readonly<Record<string, string>> = {}): Promise<void> {
    expectText(path, 'path');
    const state = await this.stateDict();
    await writeSafetensors(path, state, { format: 'pt', model: this.definition.name, ...metadata });
  }

  /** The buffers to compile a program with, for stores that {@link addStores} added to its graph. */
  bindings(stores: GraphStores): Map<Tensor, GPUBuffer> {
    expectMembers(stores, 'stores', { parameters: 'object' });
    this.alive();
    const map = new Map<Tensor, GPUBuffer>([[stores.parameters, this.parameters]]);
    if (stores.buffers !== undefined && this.buffers !== undefined) map.set(stores.buffers, this.buffers);
    return map;
  }

  /**
   * Logits [N, classes] of images [N, C, H, W], float32 in [0, 1], in eval mode. Calls may overlap: each waits for
   * those before it, and sees the images as they were when it was called. Programs are compiled once per batch size and
   * precision; the last few are kept.
   *
   * @throws LinbpError `bad-dtype`, `bad-shape`, `bad-range` for other images; `aborted`; `diverged` where a logit is
   * infinite or NaN, naming the first layer where that is cheap to find
   */
  async logits(images: Float32Array, options: LogitsOptions = {}): Promise<Float32Array> {
    expectFields(options, logitsFields);
    const { batch = 128, precision = 'f32', signal, onProgress } = options;
    expectOneOf(precision, ['f32', 'f16'], 'precision');
    this.expectUsable(precision);
    expectPixels(images, elementCount(this.definition.input), 'images');
    expectBatch(batch);
    const own = images.slice();
    return this.turns.run(async () => {
      this.expectUsable(precision);
      const logits = await this.forward.logits(own, { batch, precision, signal, onProgress });
      await expectFiniteLogits(this.definition, logits, own, () => this.readWeights(), precision);
      return logits as Float32Array;
    });
  }

  /** True once {@link Model.destroy} was called. */
  get destroyed(): boolean {
    return this.gone;
  }

  /** Frees the weights and the inference programs. */
  destroy(): void {
    if (this.gone) return;
    this.gone = true;
    this.forward.destroy();
    this.parameters.destroy();
    this.buffers?.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  private alive(): void {
    if (this.gone) throw new LinbpError('disposed', 'the model was destroyed');
  }
}
