import { LinbpError } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Node, Precision, Tensor } from '../graph/types.js';
import type { KernelChoices } from '../kernels/problem.js';
import { encodeHalf } from '../io/half.js';
import { addModel } from '../nn/definition.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { narrow } from '../passes/half.js';
import { profileProgram } from '../profile/profile.js';
import type { DispatchProfile } from '../profile/profile.js';
import { admitHalf } from '../program/admitHalf.js';
import { Program } from '../program/program.js';
import { writeImages } from '../program/transfer.js';
import { uniforms } from '../random/philox.js';
import type { Device } from '../runtime/device.js';
import { onlyChoice } from '../choices/table.js';
import type { Ceilings } from './ceilings.js';
import type { PartyProcess } from './compare.js';
import { fastestOf, hasHalfMatrices } from './candidates.js';
import type { ProductProblem } from './party.js';
import { median, missing } from './rows.js';
import type { BenchRow } from './rows.js';
import type { Answer, Request } from './worker.js';

/** Which products are measured: matrix sizes, and the convolutions of a network at a batch size. */
export interface ProductSizes {
  readonly matmul: readonly number[];
  readonly model: string;
  readonly batch: number;
}

/** For GPUs, and for software adapters, where the large ones would take minutes. */
export const productSizes: Readonly<Record<'large' | 'small', ProductSizes>> = {
  large: { matmul: [1024, 2048, 4096], model: 'resnet50_imagenet', batch: 32 },
  small: { matmul: [128, 256], model: 'resnet20', batch: 4 },
};

/** How {@link measureProducts} works. */
export interface ProductOptions {
  readonly sizes: ProductSizes;
  readonly precisions: readonly Precision[];
  readonly ceilings: Ceilings;
  /** Timed runs of each. */
  readonly times: number;
  /** Another library that computes each product beside linbp, where one is there. */
  readonly peer?: PartyProcess | undefined;
  /** Least length in milliseconds of the peer's turn. */
  readonly turnMilliseconds: number;
  /** Seconds within which the peer must answer. */
  readonly answerSeconds: number;
  readonly signal: AbortSignal;
  readonly report: (what: string) => void;
}

/** A product by itself, with floating-point operations of the direct method. */
interface Product {
  readonly name: string;
  readonly problem: ProductProblem;
  readonly flops: number;
  readonly graph: () => Graph;
}

/** What one subject made of a product, in GFLOP/s. */
interface Rate {
  readonly subject: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly note: string;
}

/** C = A B; in f16 as the linear layer X W^T, which is what networks store so. */
function matmul(size: number, precision: Precision): Product {
  const shape = [size, size];
  const graph = (): Graph => {
    const graph = new Graph();
    const inputs = [graph.input('a', shape), graph.input('b', shape)];
    graph.output(
      'c',
      precision === 'f16'
        ? graph.one('linear', inputs, {})
        : graph.one('matmul', inputs, { transposeA: false, transposeB: false }),
    );
    return graph;
  };
  const op = precision === 'f16' ? 'linear' : 'matmul';
  return { name: `matmul ${size}`, problem: { op, size }, flops: 2 * size ** 3, graph };
}

/** The convolutions of a network, each form once, as it comes first. */
function convolutions({ model, batch }: ProductSizes): Node<'conv2d'>[] {
  const definition = modelDefinition(model);
  const graph = new Graph();
  addModel(graph, definition, graph.input('images', [batch, ...definition.input]));
  const found = new Map<string, Node<'conv2d'>>();
  for (const node of graph.nodes) {
    if (node.op !== 'conv2d') continue;
    const key = JSON.stringify([node.inputs[0]!.shape, node.inputs[1]!.shape, node.attrs]);
    if (!found.has(key)) found.set(key, node as Node<'conv2d'>);
  }
  return [...found.values()];
}

type ConvolutionOp = 'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient';

/** A convolution and both its gradients, each alone: nothing is fused and nothing is left out. */
function directions(node: Node<'conv2d'>): Product[] {
  const { attrs } = node;
  const [x, w] = node.inputs.map(({ shape }) => shape) as [readonly number[], readonly number[]];
  const y = node.outputs[0]!.shape;
  const stride = attrs.stride.some((by) => by !== 1) ? ` stride ${attrs.stride.join('x')}` : '';
  const name = `${x[1]}->${w[0]} ${w[2]}x${w[3]}${stride} at ${x[2]}x${x[3]}`;
  const product = (op: ConvolutionOp, direction: string, build: (graph: Graph) => Tensor): Product => ({
    name: `${name}, ${direction}`,
    problem: {
      op,
      x,
      w,
      y,
      stride: attrs.stride,
      padding: attrs.padding,
      dilation: attrs.dilation,
      groups: attrs.groups,
    },
    flops: 2 * elementCount(y) * elementCount(w.slice(1)),
    graph() {
      const graph = new Graph();
      graph.output('result', build(graph));
      return graph;
    },
  });
  return [
    product('conv2d', 'forward', (graph) => graph.one('conv2d', [graph.input('x', x), graph.input('w', w)], attrs)),
    product('conv2dInputGradient', 'input gradient', (graph) =>
      graph.one('conv2dInputGradient', [graph.input('g', y), graph.input('w', w)], { ...attrs, inputShape: x }),
    ),
    product(
      'conv2dWeightGradient',
      'weight gradient',
      (graph) =>
        graph.add('conv2dWeightGradient', [graph.input('g', y), graph.input('x', x)], {
          ...attrs,
          weightShape: w,
          bias: false,
        })[0]!,
    ),
  ];
}

/**
 * Numbers in [-1, 1) as a tensor stores them, which repeat after a prime: drawing and converting as many as a large
 * product takes would last longer than all else.
 */
function values({ shape, dtype }: Tensor): Float32Array | Uint16Array {
  const count = elementCount(shape);
  const drawn = uniforms(11, 0, 0, 0, Math.min(count, 65521)).map((value) => 2 * value - 1);
  const [found, block] =
    dtype === 'f16' ? [new Uint16Array(count), encodeHalf(drawn)] : [new Float32Array(count), drawn];
  for (let at = 0; at < count; at += block.length) found.set(block.subarray(0, count - at), at);
  return found;
}

/** A product's program: in f16 everything is stored so but for gradients of weights. */
async function compiled(
  device: Device,
  product: Product,
  precision: Precision,
  choices?: KernelChoices,
): Promise<Program> {
  const graph = product.graph();
  if (precision === 'f16') {
    narrow(graph, () => true);
    graph.precision = 'f16';
  }
  const program = await Program.compile(graph, { device, precision, ...(choices !== undefined && { choices }) });
  for (const tensor of graph.tensors.filter(({ kind }) => kind === 'input'))
    writeImages(device, program.location(tensor), values(tensor));
  return program;
}

/** The rate of a product from its dispatches, whose times add up. */
async function rateOf(program: Program, { flops }: Product, times: number, subject: string): Promise<Rate> {
  const { dispatches } = await profileProgram(program, { segments: ['main'], repeats: times });
  const rate = (time: (dispatch: DispatchProfile) => number): number =>
    flops / dispatches.reduce((sum, dispatch) => sum + time(dispatch), 0) / 1e3;
  return {
    subject,
    median: rate(({ microseconds }) => microseconds),
    min: rate(({ maxMicroseconds }) => maxMicroseconds),
    max: rate(({ minMicroseconds }) => minMicroseconds),
    note: dispatches.map(({ kernel, variant }) => `${kernel} ${variant}`.trim()).join(', '),
  };
}

/** The rate on subgroup matrices of f16, by the best kernel on them; undefined where none computes the product. */
async function halfMatrixRate(device: Device, product: Product, times: number): Promise<Rate | undefined> {
  using plain = await compiled(device, product, 'f32');
  const choice = await fastestOf(
    'gemm/convHalfMatrix',
    device,
    plain.dispatches.find(({ source }) => source.group.anchor.op === product.problem.op)!,
  );
  if (choice === undefined) return undefined;
  using program = await compiled(device, product, 'f16', onlyChoice(choice));
  return await rateOf(program, product, times, 'linbp matrices');
}

/**
 * The peer's rate by the wall clock, over as many products in a row as fill a turn, so that what it costs to wait for
 * the end of a turn hardly enters; undefined where it cannot compute the product.
 */
async function peerRate(
  peer: PartyProcess,
  { flops, problem }: Product,
  precision: Precision,
  options: ProductOptions,
): Promise<Rate | undefined> {
  const ask = (request: Request): Promise<Answer> =>
    peer.ask(request, { seconds: options.answerSeconds, signal: options.signal });
  const { opened } = await ask({ call: 'open', workload: { kind: 'product', problem, precision } });
  if (opened !== true) return undefined;
  await ask({ call: 'run', units: 3 });
  const { milliseconds } = await ask({ call: 'run', units: 3 });
  const units = Math.min(10_000, Math.max(1, Math.round((3 * options.turnMilliseconds) / milliseconds)));
  const rates: number[] = [];
  for (let turn = 0; turn < options.times; turn++)
    rates.push((units * flops) / (await ask({ call: 'run', units })).milliseconds / 1e6);
  await ask({ call: 'close' });
  return {
    subject: peer.entry.name,
    median: median(rates),
    min: Math.min(...rates),
    max: Math.max(...rates),
    note: '',
  };
}

/** Everybody's rates of one product; a failure is one's own and becomes a row. */
async function ratesOf(
  device: Device,
  product: Product,
  precision: Precision,
  options: ProductOptions,
): Promise<Rate[]> {
  const { peer, times } = options;
  const rates: Rate[] = [];
  const attempt = async (subject: string, body: () => Promise<Rate | undefined>): Promise<void> => {
    options.signal.throwIfAborted();
    try {
      const rate = await body();
      if (rate !== undefined) rates.push(rate);
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof LinbpError) || error.code === 'device-lost' || error.code === 'disposed') throw error;
      rates.push({
        subject,
        median: NaN,
        min: NaN,
        max: NaN,
        note: `failed: ${error.message.split('\n')[0]!.slice(0, 160)}`,
      });
    }
  };
  await attempt('linbp', async () => {
    using program = await compiled(device, product, precision);
    return await rateOf(program, product, times, 'linbp');
  });
  if (precision === 'f16' && hasHalfMatrices(device))
    await attempt('linbp matrices', () => halfMatrixRate(device, product, times));
  if (peer !== undefined) {
    const own = Math.max(...rates.map((rate) => rate.median));
    await attempt(peer.entry.name, async () => {
      const rate = await peerRate(peer, product, precision, options);
      return rate && { ...rate, note: `linbp has ${(own / rate.median).toFixed(2)} of this rate` };
    });
  }
  return rates;
}

/** Why a device does not compute in f16; undefined where it does. */
async function withoutHalf(device: Device): Promise<string | undefined> {
  try {
    await admitHalf(device, (graph, options) => Program.compile(graph, options));
    return undefined;
  } catch (error) {
    if (error instanceof LinbpError && error.code === 'unsupported') return error.message;
    throw error;
  }
}

/**
 * Rates of square matrix products and of a network's convolutions in all three directions, as shares of the device's
 * best product. In f16 these are values stored in 16 bits and summed in f32, by the usual kernels and, where the
 * adapter has them, by the best on subgroup matrices of f16; shares there are of the best product in either precision.
 */
export async function measureProducts(device: Device, options: ProductOptions): Promise<BenchRow[]> {
  const { sizes, precisions, report } = options;
  const rows: BenchRow[] = [];
  for (const precision of precisions) {
    const suffix = precision === 'f16' ? ', f16' : '';
    const refused = precision === 'f16' ? await withoutHalf(device) : undefined;
    if (refused !== undefined) {
      rows.push(missing('products, f16', 'linbp', 'GFLOP/s', refused));
      continue;
    }
    const measured: { readonly product: Product; readonly rates: readonly Rate[] }[] = [];
    const measure = async (product: Product): Promise<void> => {
      report(`${product.name}${suffix}`);
      measured.push({ product, rates: await ratesOf(device, product, precision, options) });
    };
    for (const size of sizes.matmul) await measure(matmul(size, precision));
    const squares = measured.flatMap(({ rates }) =>
      rates.filter(({ subject }) => subject.startsWith('linbp')).map((rate) => rate.median),
    );
    const ceiling =
      precision === 'f32'
        ? options.ceilings.gflops
        : Math.max(options.ceilings.gflops, ...squares.filter(Number.isFinite));
    for (const node of convolutions(sizes)) for (const product of directions(node)) await measure(product);
    for (const { product, rates } of measured)
      for (const { subject, median, min, max, note } of rates) {
        const ratio = Number.isFinite(median) ? median / ceiling : null;
        rows.push({
          name: `${product.name}${suffix}`,
          subject,
          unit: 'GFLOP/s',
          median,
          min,
          max,
          rounds: options.times,
          ratio,
          ...(note !== '' && { note }),
        });
      }
    if (precision === 'f16' && !hasHalfMatrices(device)) {
      rows.push(
        missing(
          'products on subgroup matrices, f16',
          'linbp matrices',
          'GFLOP/s',
          'the adapter offers no subgroup matrices of f16',
        ),
      );
    }
  }
  return rows;
}
