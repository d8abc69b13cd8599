import { expectMembers, expectTensor } from '../arguments.js';
import { check } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { NetBuilder } from './builder.js';
import type { ActivationPosition, BranchPlace, PositionTable } from '../rules/positions.js';
import type { Branch, BuildMode, ParameterSpec } from './builder.js';

/** State-dict entries by PyTorch key. */
export type StateDict = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** A network: its name, input and forward pass. Everything else is derived by building it. */
export interface ModelDefinition {
  readonly name: string;
  /** Input image [C, H, W]. */
  readonly input: readonly [number, number, number];
  readonly classes: number;
  /** The forward pass from images [N, C, H, W] to logits [N, classes]. */
  readonly build: (net: NetBuilder, x: Tensor) => Tensor;
  /** What the images are normalized by, in words; part of the forward pass. */
  readonly normalization?: string;
  /** Names of activations by preset; `default` is what `linbp` alone linearizes. */
  readonly presets?: Readonly<Record<string, readonly string[]>>;
  /** Why there is no preset, where the network has none on purpose. */
  readonly presetNote?: string;
  /** Weights that came with it, as those of an ONNX file; used where no others are given. */
  readonly weights?: StateDict;
  /**
   * Entries that files of its weights may have besides them, by key, or by prefix where the key ends in a dot: `null`
   * for what is left aside, or the values that the forward pass has built in, which a file must then hold, too. The
   * keys of such files may begin with `module.` and `model.`, each by itself.
   */
  readonly besides?: Readonly<Record<string, readonly number[] | null>>;
}

/** Places of a model's tensors inside its two flat stores, in elements; each begins at a multiple of 64. */
export interface ParameterLayout {
  readonly specs: readonly ParameterSpec[];
  readonly offsets: ReadonlyMap<string, number>;
  /** Elements of the learnable store and of the store of running statistics. */
  readonly parameterElements: number;
  readonly bufferElements: number;
}

export const isBuffer = (spec: ParameterSpec): boolean =>
  spec.kind === 'bn.running_mean' || spec.kind === 'bn.running_var';

/** Everything a definition implies: its state dict, its layout and its activations. */
export interface ModelDescription {
  readonly layout: ParameterLayout;
  readonly activations: readonly ActivationPosition[];
  /** Residual branches. */
  readonly branches: readonly BranchPlace[];
  /** Learnable numbers. */
  readonly parameterCount: number;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/**
 * Checks the fields of a {@link ModelDefinition}.
 *
 * @param source what it is called in messages
 * @throws LinbpError `bad-argument` naming the field
 */
export function expectDefinition(value: unknown, source = 'the model'): asserts value is ModelDefinition {
  check(typeof value === 'object' && value !== null, 'bad-argument', `${source} is no model definition`, 'model');
  const { name, input, classes, build } = value as Partial<Record<keyof ModelDefinition, unknown>>;
  const expect = (fits: boolean, what: string): void => check(fits, 'bad-argument', `${source}: ${what}`, 'model');
  expect(typeof name === 'string' && name !== '', '"name" must be a non-empty string');
  const shaped = Array.isArray(input) && input.length === 3 && input.every(isCount);
  expect(shaped, '"input" must be [channels, height, width], positive whole numbers');
  expect(isCount(classes), '"classes" must be a positive whole number');
  expect(typeof build === 'function', '"build" must be a function (net, images) => logits');
}

/** Throws `bad-argument` or `bad-shape` unless what a definition built from one image is a tensor [1, classes]. */
function expectLogits({ name, classes }: ModelDefinition, logits: unknown): void {
  const shape = (logits as { readonly shape?: unknown } | undefined | null)?.shape;
  check(Array.isArray(shape), 'bad-argument', `${name}: "build" must return a tensor`, 'model');
  const sizes = shape as number[];
  check(
    sizes.length === 2 && sizes[0] === 1 && sizes[1] === classes,
    'bad-shape',
    `${name}: "build" must return logits [N, ${classes}], got [${['N', ...sizes.slice(1)].join(', ')}]`,
    'model',
  );
}

const described = new WeakMap<ModelDefinition, ModelDescription>();

/**
 * Builds the definition once without a device and lists its weights, activations and residual branches.
 *
 * @throws LinbpError `bad-argument` for what is no definition; `bad-shape` unless it builds logits [N, classes]
 */
export function describeModel(definition: ModelDefinition): ModelDescription {
  let description = described.get(definition);
  if (description !== undefined) return description;
  expectDefinition(definition);
  const graph = new Graph();
  const specs: ParameterSpec[] = [];
  const net = new NetBuilder(
    graph,
    (spec) => {
      specs.push(spec);
      return graph.parameter(spec.name, spec.shape);
    },
    { training: false },
  );
  expectLogits(definition, definition.build(net, graph.input('input', [1, ...definition.input])));
  const offsets = new Map<string, number>();
  let parameterElements = 0;
  let bufferElements = 0;
  for (const spec of specs) {
    const size = Math.ceil(elementCount(spec.shape) / 64) * 64;
    if (isBuffer(spec)) {
      offsets.set(spec.name, bufferElements);
      bufferElements += size;
    } else {
      offsets.set(spec.name, parameterElements);
      parameterElements += size;
    }
  }
  const parameterCount = specs
    .filter((spec) => !isBuffer(spec))
    .reduce((sum, spec) => sum + elementCount(spec.shape), 0);
  const branches = net.branches.map(({ name, activations }) => ({ name, activations }));
  description = {
    layout: { specs, offsets, parameterElements, bufferElements },
    activations: net.activations,
    branches,
    parameterCount,
  };
  described.set(definition, description);
  return description;
}

/** A network inside a graph, its tensors being windows of the flat stores. */
export interface ModelInGraph {
  readonly logits: Tensor;
  /** Flat store of learnable parameters; the graph's root tensor to bind the model's buffer to. */
  readonly parameters: Tensor;
  /** Flat store of running statistics, if the model has any. */
  readonly buffers: Tensor | undefined;
  /** State-dict entries as windows of the stores. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly activations: readonly ActivationPosition[];
  /** Residual branches in the order in which they end. */
  readonly branches: readonly Branch[];
}

/** The flat stores of a model inside a graph, to be shared by several instances of it. */
export interface GraphStores {
  readonly parameters: Tensor;
  readonly buffers: Tensor | undefined;
}

/**
 * Adds the model's flat stores to a graph: one f32 tensor of all learnable parameters and, if the model has any, one of
 * all running statistics. Each entry begins at a multiple of 64 elements.
 */
export function addStores(graph: Graph, definition: ModelDefinition): GraphStores {
  expectMembers(graph, 'graph', { parameter: 'function', state: 'function' });
  const { layout } = describeModel(definition);
  return {
    parameters: graph.parameter('parameters', [layout.parameterElements]),
    buffers: layout.bufferElements === 0 ? undefined : graph.state('buffers', [layout.bufferElements]),
  };
}

/**
 * Adds the forward pass of a model to a graph; the model's own preprocessing is part of it.
 *
 * @param images f32 [N, C, H, W] of the graph, pixels in [0, 1], channels and size as in `definition.input`
 * @param options `training`: batch statistics in batch norm; `stores`: the flat stores of {@link addStores}, so that
 * several instances share their weights (new ones unless given)
 * @returns logits f32 [N, classes], the stores and their windows by state-dict name, activations and residual branches
 * @throws LinbpError `bad-argument` for what is no graph, definition or tensor; `bad-shape` for images that the network
 * does not take
 */
export function addModel(
  graph: Graph,
  definition: ModelDefinition,
  images: Tensor,
  options: Partial<BuildMode> & { readonly stores?: GraphStores } = {},
): ModelInGraph {
  expectMembers(graph, 'graph', { window: 'function' });
  expectTensor(images);
  const { layout, activations } = describeModel(definition);
  const stores = options.stores ?? addStores(graph, definition);
  const tensors = new Map<string, Tensor>();
  for (const spec of layout.specs) {
    const store = isBuffer(spec) ? stores.buffers! : stores.parameters;
    tensors.set(spec.name, graph.window(store, layout.offsets.get(spec.name)!, spec.shape, spec.name));
  }
  const net = new NetBuilder(graph, (spec) => tensors.get(spec.name)!, {
    ...options,
    training: options.training ?? false,
  });
  const logits = graph.scope({ direction: 'forward' }, () => definition.build(net, images));
  return {
    logits,
    parameters: stores.parameters,
    buffers: stores.buffers,
    tensors,
    activations,
    branches: net.branches,
  };
}

/**
 * A model's activations, residual branches and presets, in the form that rule selection takes.
 *
 * @throws LinbpError as {@link describeModel}
 */
export function positionTable(definition: ModelDefinition): PositionTable {
  expectMembers(definition, 'definition', { name: 'text', build: 'function' });
  return {
    model: definition.name,
    positions: describeModel(definition).activations,
    branches: describeModel(definition).branches,
    presets: definition.presets ?? {},
    ...(definition.presetNote === undefined ? {} : { presetNote: definition.presetNote }),
  };
}
