import { expectFields, expectObject } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { LinbpError, check } from '../errors.js';
import { Graph, resolveView } from '../graph/graph.js';
import type { Tensor } from '../graph/types.js';
import { openExecutor } from '../program/executor.js';
import type { Executor } from '../program/executor.js';
import { quotedName, quotedValue } from '../quote.js';
import type { Device } from '../runtime/device.js';
import { Analysis, throwReasons } from './analyze.js';
import { decodeModel } from './decode.js';
import { computeOnHost } from './host/table.js';
import { constant } from './lower/builder.js';
import { emitStep } from './lower/emit.js';
import { unary } from './lower/emitContext.js';
import type { EmitTarget } from './lower/emitContext.js';
import { liveSteps } from './lower/simplify.js';
import type { DataValue, Step, Value } from './lower/steps.js';
import { isFloat } from './types.js';
import type { ElementType, HostTensor, OnnxFile, OnnxNode } from './types.js';

/** A tensor that goes into a graph or comes out of it; integers and truth values are numbers, too. */
export interface OnnxTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: ArrayLike<number>;
}

/** Options of {@link runOnnx}. */
export interface RunOnnxOptions {
  /** An open device, or `reference` for float64 loops on the CPU. */
  readonly device: Device | 'reference';
}

/** What {@link runOnnx} returns. */
export interface RunOnnxResult {
  /** By name, in the order of the graph's outputs. */
  readonly outputs: ReadonlyMap<string, HostTensor>;
  /** Operators that the CPU computed from values of the device, such as ArgMax, whose results are no float. */
  readonly onHost: readonly string[];
}

/** Thrown while a graph is analyzed where a node needs numbers that the device has yet to compute. */
class NeedsValues extends Error {
  readonly wanted: readonly DataValue[];
  constructor(wanted: readonly DataValue[]) {
    super('values are needed');
    this.wanted = wanted;
  }
}

/** Thrown where a node takes as a constant what the caller gave as an input, such as the kernel of a convolution. */
class NeedsConstants extends Error {
  readonly names: readonly string[];
  constructor(names: readonly string[]) {
    super('constants are needed');
    this.names = names;
  }
}

/** A node outside the engine computed from values that are known, or the list of those that are not yet. */
class HostNodes {
  /** Values that a stage before computed, by name. */
  readonly known = new Map<string, HostTensor>();
  readonly operators = new Set<string>();
  /** Results that the device goes on with. */
  readonly inputs = new Map<DataValue, HostTensor>();
  /** Inputs of the graph that may be made constants. */
  readonly given = new Set<string>();

  compute(node: OnnxNode, values: readonly (Value | undefined)[]): readonly Value[] {
    const operands = values.slice(1).filter((value): value is DataValue => value?.kind === 'data');
    const given = operands.filter(({ name }) => this.given.has(name));
    if (given.length > 0) throw new NeedsConstants(given.map(({ name }) => name));
    const missing = values.filter((value): value is DataValue => value?.kind === 'data' && !this.known.has(value.name));
    if (missing.length > 0) throw new NeedsValues(missing);
    this.operators.add(node.op);
    const tensors = values.map((value) => (value?.kind === 'data' ? this.known.get(value.name) : value?.tensor));
    return computeOnHost(node, tensors).map((tensor, i): Value => {
      if (!isFloat(tensor.type)) return constant(tensor);
      const name = node.outputs[i] ?? `${node.name}.${i}`;
      const data: DataValue = { kind: 'data', name, shape: tensor.shape, type: tensor.type, batch: undefined };
      this.inputs.set(data, tensor);
      this.known.set(name, tensor);
      return data;
    });
  }
}

/** Runs steps on the device or in the reference and returns the values that are wanted. */
async function runSteps(
  steps: readonly Step[],
  inputs: ReadonlyMap<DataValue, HostTensor>,
  wanted: readonly DataValue[],
  device: Device | 'reference',
): Promise<Map<DataValue, HostTensor>> {
  const results = new Map<DataValue, HostTensor>();
  const missing = wanted.filter((value) => {
    const given = inputs.get(value);
    if (given !== undefined) results.set(value, given);
    return given === undefined;
  });
  if (missing.length === 0) return results;
  const graph = new Graph();
  const live = liveSteps(steps, missing);
  const values = new Map<DataValue, Tensor>();
  const bound: [Tensor, HostTensor][] = [];
  for (const [value, tensor] of inputs) {
    if (!live.some((step) => step.inputs.includes(value))) continue;
    const input = graph.input(value.name, value.shape.length === 0 ? [1] : value.shape);
    values.set(value, input);
    bound.push([input, tensor]);
  }
  const target = plainTarget(graph);
  for (const step of live) graph.scope({ layer: step.node.name }, () => emitStep(step, values, target));
  for (const value of missing) {
    const tensor = values.get(value)!;
    const root = resolveView(tensor).root;
    const own = root.kind === 'value' && root === tensor;
    const output = own ? tensor : unary(graph, tensor, 'affine', 1, 0);
    values.set(value, output);
    graph.output(value.name, output);
  }
  using executor: Executor = await openExecutor(graph, { device });
  for (const [tensor, { data }] of bound) executor.write(tensor, data);
  await executor.run([{ segment: 'main' }]);
  for (const value of missing) {
    const data = Float64Array.from(await executor.exact(values.get(value)!));
    results.set(value, { type: value.type, shape: value.shape, data });
  }
  return results;
}

/** Steps with all constants as they are: no parameters, no positions. */
function plainTarget(graph: Graph): EmitTarget {
  const line = (values: readonly number[], shape: readonly number[]): Tensor => graph.constant('line', values, shape);
  const add = (tensor: HostTensor, shape: readonly number[] = tensor.shape): Tensor =>
    graph.constant(tensor.origin ?? 'constant', [...tensor.data], shape.length === 0 ? [1] : shape);
  return {
    graph,
    scale: 1,
    constant: add,
    activation: () => undefined,
    batchNorm: (step, x) => {
      const statistics = step.inputs.slice(1).map((input) => add((input as { tensor: HostTensor }).tensor));
      const scaleAndShift = graph.add('batchNormScaleShift', statistics, step.attributes);
      return graph.one('scaleShift', [x, ...scaleAndShift], {});
    },
    preprocess: (step, x) =>
      graph.one(
        'scaleShift',
        [x, line(step.attributes.scale, [x.shape[1]!]), line(step.attributes.shift, [x.shape[1]!])],
        {},
      ),
  };
}

/** Smallest and largest numbers of integer types; those of 64 bits as far as they are exact. */
const ranges: Partial<Record<ElementType, readonly [least: number, most: number]>> = {
  bool: [0, 1],
  int8: [-(2 ** 7), 2 ** 7 - 1],
  uint8: [0, 2 ** 8 - 1],
  int16: [-(2 ** 15), 2 ** 15 - 1],
  uint16: [0, 2 ** 16 - 1],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
};

/** Throws `bad-argument`, `bad-dtype` or `bad-range` unless a value is a tensor whose numbers its type has. */
function expectNumbersOf(name: string, given: unknown): asserts given is OnnxTensor {
  expectObject(given, name);
  const { type, shape, data } = given as Partial<OnnxTensor>;
  const shaped = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  check(shaped && typeof type === 'string', 'bad-argument', `input ${name} needs a type and a shape`, name);
  const listed = Array.isArray(data) || (ArrayBuffer.isView(data) && 'length' in data);
  check(listed, 'bad-dtype', `input ${name}: its data must be an array of numbers`, name);
  const range = ranges[type];
  const numbers = data as unknown as ArrayLike<unknown>;
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i];
    check(typeof value === 'number', 'bad-dtype', `input ${name}: value ${i} is a ${typeof value}, no number`, name);
    const fits = range === undefined || (Number.isInteger(value) && value >= range[0] && value <= range[1]);
    check(fits, 'bad-range', `input ${name}: value ${i} is ${value}, which ${type} cannot represent`, name);
  }
}

/** Checks the given tensors against a graph's inputs. */
function boundInputs(file: OnnxFile, given: Readonly<Record<string, OnnxTensor>>): Map<string, HostTensor> {
  expectObject(given, 'inputs');
  const names = file.graph.inputs.map(({ name }) => name);
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  check(
    unknown === undefined,
    'bad-argument',
    `${file.source} has no input ${quotedValue(unknown)}; it has ${names.map(quotedName).join(', ') || 'none'}`,
    'inputs',
  );
  const bound = new Map<string, HostTensor>();
  for (const { name, shape, type } of file.graph.inputs) {
    const tensor: unknown = given[name];
    check(tensor !== undefined, 'bad-argument', `${file.source} needs an input "${name}"`, name);
    expectNumbersOf(name, tensor);
    const count = tensor.shape.reduce((product, size) => product * size, 1);
    const fits =
      tensor.data.length === count &&
      (shape === undefined ||
        (shape.length === tensor.shape.length &&
          shape.every((size, axis) => typeof size !== 'number' || size === tensor.shape[axis])));
    const wanted = shape?.map((size) => size ?? '?').join(', ') ?? '...';
    check(
      fits && (type === undefined || type === tensor.type),
      'bad-shape',
      `input ${name} must be ${type ?? 'a tensor'} [${wanted}], got ${tensor.type} ` +
        `[${tensor.shape.join(', ')}] with ${tensor.data.length} values`,
      name,
    );
    bound.set(name, { type: tensor.type, shape: tensor.shape, data: Float64Array.from(tensor.data) });
  }
  return bound;
}

/**
 * Evaluates an ONNX graph. Float tensors are computed by the engine, on a device or in float64; integer tensors, and
 * float results of operators that have no gradient, on the CPU.
 *
 * @param model a path, or the bytes of a file
 * @param inputs the graph's inputs that are no initializers, by name
 * @throws LinbpError `missing-file`, `bad-file`, `bad-argument`, `bad-shape`, `bad-dtype`, `bad-range`, or
 *   `unsupported` with every reason
 */
export async function runOnnx(
  model: string | Uint8Array,
  inputs: Readonly<Record<string, OnnxTensor>>,
  options: RunOnnxOptions,
): Promise<RunOnnxResult> {
  expectFields(options, { device: true } satisfies FieldNames<RunOnnxOptions>);
  const file = await decodeModel(model);
  const bound = boundInputs(file, inputs);
  await file.loadTensors();
  const host = new HostNodes();
  const constants = new Set<string>();
  const beyond = [...bound.values()].some(({ data }) => data.some(exceedsFloat32));
  // Devices have no float64.
  const device = beyond ? 'reference' : options.device;
  // Each stage that a node on the CPU waits for adds values, or makes an input a constant.
  for (let stage = 0; stage <= file.graph.nodes.length + bound.size + 1; stage++) {
    host.inputs.clear();
    const { values, data } = givenValues(bound, constants, host);
    const analysis = new Analysis(1, (node, operands) => host.compute(node, operands));
    let results: (Value | undefined)[];
    let wanted: readonly DataValue[];
    let done = true;
    try {
      results = analysis.run(file.graph, values);
      throwReasons(analysis.reasons, file.source);
      wanted = [...new Set(results.filter((value): value is DataValue => value?.kind === 'data'))];
    } catch (error) {
      if (error instanceof NeedsConstants) {
        for (const name of error.names) constants.add(name);
        continue;
      }
      if (!(error instanceof NeedsValues)) throw error;
      [results, wanted, done] = [[], error.wanted, false];
    }
    const all = new Map([...data, ...host.inputs]);
    const computed = await runSteps(analysis.build.steps, all, wanted, device);
    if (done) {
      const operators = file.graph.nodes.map(({ op }) => op).filter((op) => op !== 'Constant');
      const onHost = beyond ? operators : host.operators;
      return { outputs: collect(file, results, computed), onHost: [...new Set(onHost)] };
    }
    for (const [value, tensor] of computed) host.known.set(value.name, tensor);
  }
  throw new LinbpError('internal', `${file.source}: the graph has no end`);
}

const exceedsFloat32 = (value: number): boolean => Number.isFinite(value) && !Number.isFinite(Math.fround(value));

/** The inputs of a graph as values: floats that the engine computes with, and constants. */
function givenValues(
  bound: ReadonlyMap<string, HostTensor>,
  constants: ReadonlySet<string>,
  host: HostNodes,
): { values: Map<string, Value>; data: Map<DataValue, HostTensor> } {
  const values = new Map<string, Value>();
  const data = new Map<DataValue, HostTensor>();
  host.given.clear();
  for (const [name, tensor] of bound) {
    if (!isFloat(tensor.type) || tensor.data.length === 0 || constants.has(name)) values.set(name, constant(tensor));
    else {
      const value: DataValue = { kind: 'data', name, shape: tensor.shape, type: tensor.type, batch: undefined };
      values.set(name, value);
      data.set(value, tensor);
      host.known.set(name, tensor);
      host.given.add(name);
    }
  }
  return { values, data };
}

function collect(
  file: OnnxFile,
  results: readonly (Value | undefined)[],
  computed: ReadonlyMap<DataValue, HostTensor>,
): Map<string, HostTensor> {
  return new Map(
    file.graph.outputs.map(({ name, type }, i) => {
      const value = results[i]!;
      const tensor = value.kind === 'data' ? computed.get(value)! : value.tensor;
      return [name, { type: type ?? tensor.type, shape: tensor.shape, data: tensor.data }];
    }),
  );
}
