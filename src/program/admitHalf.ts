import { check, LinbpError } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Precision, Tensor } from '../graph/types.js';
import { decodeHalf, encodeHalf, floatToHalf, halfToFloat } from '../io/half.js';
import { uniforms } from '../random/philox.js';
import type { Device } from '../runtime/device.js';
import type { CompileOptions, SegmentRun } from './types.js';

/**
 * Half the distance of neighboring f16 numbers, relative to them, and as much again for conversions that do not round
 * to nearest.
 */
const roundingError = 2 ** -10;

/** Values whose storage is tested: ordinary ones, the limits of the format and what lies beyond. */
const special = [
  0,
  -1,
  1 / 3,
  -1234.5678,
  65504,
  -65504,
  2 ** -14,
  2 ** -24,
  3e-6,
  1e-9,
  1e6,
  -1e30,
  Infinity,
  NaN,
  0.1,
  2049,
];

interface Probe {
  readonly graph: Graph;
  readonly feeds: ReadonlyMap<Tensor, Float32Array>;
}

/** Numbers that f16 holds exactly, so that only what kernels do with them differs. */
function halves(shape: readonly number[], stream: number): Float32Array {
  const values = uniforms(17, stream, 0, 0, elementCount(shape)).map((value) => 2 * value - 1);
  return decodeHalf(new Uint8Array(encodeHalf(values).buffer));
}

/**
 * A product in both directions that weights take part in, with what is stored between kernels on the way, and the
 * storage of single values.
 */
function probe(): Probe {
  const graph = new Graph();
  const feeds = new Map<Tensor, Float32Array>();
  const input = (name: string, values: Float32Array, shape: readonly number[]): Tensor => {
    const tensor = graph.input(name, shape);
    feeds.set(tensor, values);
    return tensor;
  };
  // Behind an addition of zeros is a value that the program may store as it likes.
  const stored = (tensor: Tensor): Tensor =>
    graph.one(
      'add',
      [tensor, input(`${tensor.name} zeros`, new Float32Array(elementCount(tensor.shape)), tensor.shape)],
      {},
    );
  const attrs = { stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1], groups: 1 } as const;
  const [xShape, wShape, gShape] = [
    [2, 3, 5, 5],
    [8, 3, 3, 3],
    [2, 8, 5, 5],
  ] as const;
  const x = stored(input('x', halves(xShape, 1), xShape));
  const w = graph.parameter('w', wShape);
  feeds.set(w, halves(wShape, 2));
  const y = graph.one('activation', [graph.one('conv2d', [x, w], attrs)], { kind: 'relu', mask: false });
  graph.output('forward', stored(y));
  const g = stored(input('g', halves(gShape, 3), gShape));
  graph.output(
    'weights',
    graph.add('conv2dWeightGradient', [g, x], { ...attrs, weightShape: wShape, bias: false })[0]!,
  );
  const single = stored(input('special', Float32Array.from(special), [1, special.length]));
  graph.output('special', stored(single));
  return { graph, feeds };
}

/** What the test needs of a compiled graph. */
interface ProbeProgram extends Disposable {
  write(tensor: Tensor, data: Float32Array): void;
  run(runs: readonly SegmentRun[]): Promise<void>;
  read(name: string): Promise<Float32Array>;
}

/** `Program.compile`, which asks for the test before it compiles anything else in half precision. */
type Compile = (graph: Graph, options: CompileOptions) => Promise<ProbeProgram>;

async function outputs(device: Device, compile: Compile, precision: Precision): Promise<Map<string, Float32Array>> {
  const { graph, feeds } = probe();
  using program = await compile(graph, {
    device,
    precision,
    untested: true,
    fuse: false,
    choices: { find: () => undefined, order: () => undefined },
  });
  for (const [tensor, values] of feeds) program.write(tensor, values);
  await program.run([{ segment: 'main' }]);
  const found = new Map<string, Float32Array>();
  for (const name of graph.outputs.keys()) found.set(name, await program.read(name));
  return found;
}

/** The first value that differs by more than rounding, in words; undefined where there is none. */
export function disagreement(actual: Float32Array, expected: Float32Array): string | undefined {
  const index = expected.findIndex((value, i) => {
    const found = actual[i]!;
    if (!Number.isFinite(value)) return !Object.is(found, value);
    return !(Math.abs(found - value) <= roundingError * Math.abs(value) + 2 ** -24);
  });
  return index < 0 ? undefined : `${actual[index]} for ${expected[index]} at ${index}`;
}

async function test(device: Device, compile: Compile): Promise<void> {
  const missing = `${device.adapterInfo.description} has no half precision (the WebGPU feature shader-f16); use f32`;
  if (!device.features.has('shader-f16')) throw new LinbpError('unsupported', missing, { field: 'precision' });
  const [half, full] = [await outputs(device, compile, 'f16'), await outputs(device, compile, 'f32')];
  full.set(
    'special',
    Float32Array.from(special, (value) => halfToFloat(floatToHalf(value))),
  );
  for (const [name, expected] of full) {
    const found = disagreement(half.get(name)!, expected);
    const message = `half precision of ${device.adapterInfo.description} is broken: ${name} gives ${found}; use f32`;
    check(found === undefined, 'unsupported', message, 'precision');
  }
}

const tested = new WeakMap<Device, Promise<void>>();

/**
 * Admits half precision on a device: at the first use its f16 kernels must agree with the f32 ones, and storing must
 * round, overflow to infinity and keep NaN as IEEE 754 says. Some drivers offer f16 that does not; Dawn therefore
 * hides NVIDIA's, which linbp asks for.
 *
 * @throws LinbpError `unsupported` where the device has no f16 or a wrong one
 */
export function admitHalf(device: Device, compile: Compile): Promise<void> {
  let result = tested.get(device);
  if (result === undefined) tested.set(device, (result = test(device, compile)));
  return result;
}
