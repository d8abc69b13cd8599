import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Node, OpName, Tensor } from '../graph/types.js';
import { addModel } from '../nn/definition.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { profileProgram } from '../profile/profile.js';
import type { DispatchProfile } from '../profile/profile.js';
import { Program } from '../program/program.js';
import type { Device } from '../runtime/device.js';
import type { Ceilings } from './figures.js';
import type { BenchRow } from './rows.js';

/** Which products are measured: matrix sizes, and the convolutions of a network at a batch size. */
export interface ProductSizes {
  readonly matmul: readonly number[];
  readonly model: string;
  readonly batch: number;
}

/** For GPUs, and for adapters that compute on the CPU, where the large ones would take minutes. */
export const productSizes: Readonly<Record<'large' | 'small', ProductSizes>> = {
  large: { matmul: [1024, 2048, 4096], model: 'resnet50_imagenet', batch: 32 },
  small: { matmul: [128, 256], model: 'resnet20', batch: 4 },
};

/** One row from the dispatches of one product, whose times add up. */
function rateRow(name: string, dispatches: readonly DispatchProfile[], flops: number, ceilings: Ceilings): BenchRow {
  const rate = (time: (dispatch: DispatchProfile) => number): number => flops / dispatches.reduce((sum, dispatch) => sum + time(dispatch), 0) / 1e3;
  const median = rate(({ microseconds }) => microseconds);
  return {
    name,
    subject: 'linbp',
    unit: 'GFLOP/s',
    median,
    min: rate(({ maxMicroseconds }) => maxMicroseconds),
    max: rate(({ minMicroseconds }) => minMicroseconds),
    ratio: median / ceilings.gflops,
    note: dispatches.map(({ kernel, variant }) => `${kernel} ${variant}`.trim()).join(', '),
  };
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

const directions: readonly (readonly [OpName, string])[] = [
  ['conv2d', 'forward'],
  ['conv2dInputGradient', 'input gradient'],
  ['conv2dWeightGradient', 'weight gradient'],
];

/** A convolution and both its gradients, each alone: nothing is fused and nothing is left out. */
async function measureConvolution(device: Device, node: Node<'conv2d'>, ceilings: Ceilings, times: number): Promise<BenchRow[]> {
  const [x, w] = node.inputs as [Tensor, Tensor];
  const graph = new Graph();
  const [input, weight, g] = [graph.input('x', x.shape), graph.parameter('w', w.shape), graph.input('g', node.outputs[0]!.shape)];
  graph.output('y', graph.one('conv2d', [input, weight], node.attrs));
  graph.output('dx', graph.one('conv2dInputGradient', [g, weight], { ...node.attrs, inputShape: x.shape }));
  graph.output('dw', graph.add('conv2dWeightGradient', [g, input], { ...node.attrs, weightShape: w.shape, bias: false })[0]!);
  using program = await Program.compile(graph, { device });
  const { dispatches } = await profileProgram(program, { segments: ['main'], repeats: times });
  const work = program.segmentDispatches('main');
  const [, channels, height, width] = x.shape;
  const [outputs, , kernelHeight, kernelWidth] = w.shape;
  const flops = 2 * elementCount(node.outputs[0]!.shape) * elementCount(w.shape.slice(1));
  const stride = node.attrs.stride.some((by) => by !== 1) ? ` stride ${node.attrs.stride.join('x')}` : '';
  const name = `${channels}->${outputs} ${kernelHeight}x${kernelWidth}${stride} at ${height}x${width}`;
  return directions.map(([op, direction]) => {
    const own = dispatches.filter((_, index) => work[index]!.source.group.anchor.op === op);
    return rateRow(`${name}, ${direction}`, own, flops, ceilings);
  });
}

/** Rates of square matrix products and of a network's convolutions in all three directions, as shares of the best plain product. */
export async function measureProducts(
  device: Device,
  sizes: ProductSizes,
  ceilings: Ceilings,
  times: number,
  report: (what: string) => void,
): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const size of sizes.matmul) {
    report(`matmul ${size}`);
    const graph = new Graph();
    const [a, b] = [graph.input('a', [size, size]), graph.input('b', [size, size])];
    graph.output('c', graph.one('matmul', [a, b], { transposeA: false, transposeB: false }));
    using program = await Program.compile(graph, { device });
    const { dispatches } = await profileProgram(program, { segments: ['main'], repeats: times });
    rows.push(rateRow(`matmul ${size}`, dispatches, 2 * size ** 3, ceilings));
  }
  for (const node of convolutions(sizes)) {
    report(`${sizes.model}: convolution ${node.inputs[1]!.shape.join('x')}`);
    rows.push(...(await measureConvolution(device, node, ceilings, times)));
  }
  return rows;
}
