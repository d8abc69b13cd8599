import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import { resolveView } from '../graph/graph.js';
import type { Direction, ElementwiseFunction, Node, OpName, Precision, Tensor } from '../graph/types.js';
import { anchors } from './fuse.js';

/** Inputs that a kernel may read as f16, by op; ops that are not listed read f32. */
const halfInputs: Readonly<Partial<Record<OpName, readonly number[] | 'all'>>> = {
  conv2d: [0, 1],
  conv2dInputGradient: [0, 1],
  conv2dWeightGradient: [0, 1],
  linear: [0, 1],
  linearInputGradient: [0, 1],
  linearWeightGradient: [0, 1],
  relu: [0],
  reluBackward: 'all',
  maxPool2d: [0],
  maxPool2dBackward: [0],
  maxPool2dSoftmaxBackward: [0, 1],
  avgPool2d: [0],
  avgPool2dBackward: [0],
  adaptiveAvgPool2d: [0],
  adaptiveAvgPool2dBackward: [0],
  scaleShift: [0],
  batchNormStatistics: [0],
  batchNormApply: [0],
  batchNormInputGradient: [0, 1],
  channelSums: [0, 1],
  concat: 'all',
  channelPad: [0],
  channelSlice: [0],
  dropout: [0],
  sampleNorm: [0],
  add: 'all',
};

/** Ops whose first output may be stored as f16: those whose kernels end in an epilogue, and those that move values. */
const halfOutputs: ReadonlySet<OpName> = new Set<OpName>([
  ...anchors,
  'concat',
  'channelPad',
  'channelSlice',
  'dropout',
  'gatherImages',
  'randomCropFlip',
]);

/** Ops that copy words, so that what they read and what they write is stored alike. */
const copies: ReadonlySet<OpName> = new Set<OpName>(['concat', 'channelSlice']);

/** What is summed over a batch, or added to what lives longer than a step, stays in f32. */
const wideDirections: ReadonlySet<Direction> = new Set<Direction>(['weightGradient', 'update', 'attack']);

/** Ops that multiply by a weight, their second input. */
const products: ReadonlySet<OpName> = new Set<OpName>([
  'conv2d',
  'conv2dInputGradient',
  'linear',
  'linearInputGradient',
]);

const rootOf = (tensor: Tensor): Tensor => resolveView(tensor).root;

/**
 * Settles how a graph's values are stored; see {@link storeAsHalf}.
 *
 * @throws LinbpError `bad-argument` for a graph that was settled otherwise before
 */
export function settlePrecision(graph: Graph, precision: Precision, weightsSegment?: string): void {
  const settled = graph.precision ?? precision;
  check(
    settled === precision,
    'bad-argument',
    `the graph is stored in ${settled} and cannot be compiled in ${precision}; build it anew`,
    'precision',
  );
  if (graph.precision === undefined && precision === 'f16') storeAsHalf(graph, weightsSegment);
  graph.precision = precision;
}

/**
 * Chooses what a program stores as f16: activations, their gradients and copies of the weights that products read.
 * Parameters, running statistics, optimizer states, iterates, losses, logits, statistics, gradients of weights and
 * every output of the graph stay in f32. Only storage changes; kernels convert as they load and store, and compute in
 * f32.
 *
 * `weightsSegment` is the segment that runs before all others and in which the copies of weights are made; by default
 * each segment makes its own.
 */
export function storeAsHalf(graph: Graph, weightsSegment?: string): void {
  copyWeights(graph, weightsSegment);
  const outputs = new Set<Tensor>([...graph.outputs.values()].map(rootOf));
  narrow(graph, (root) => root.kind === 'value' && !outputs.has(root));
}

/**
 * Stores as f16 what all of its readers can read and its writer can write so, of the tensors that `mayBeHalf` allows,
 * told by their roots.
 */
export function narrow(graph: Graph, mayBeHalf: (root: Tensor) => boolean): void {
  const wide = new Set<Tensor>();
  const isHalf = (tensor: Tensor): boolean => {
    const root = rootOf(tensor);
    return root.dtype !== 'u32' && !wide.has(root) && mayBeHalf(root);
  };
  for (const node of graph.nodes) {
    if (node.op === 'reshape') continue;
    const inputs = halfInputs[node.op] ?? [];
    const narrows = halfOutputs.has(node.op) && !wideDirections.has(node.direction);
    for (const [slot, input] of node.inputs.entries())
      if (inputs !== 'all' && !inputs.includes(slot)) wide.add(rootOf(input));
    for (const [slot, output] of node.outputs.entries())
      if (!(narrows && slot === 0) && !isCopy(output)) wide.add(rootOf(output));
  }
  // A copy is wide where one of its ends is.
  const nodes = graph.nodes.filter((node) => copies.has(node.op));
  for (let before = -1; before !== wide.size;) {
    before = wide.size;
    for (const { inputs, outputs } of nodes)
      if (![...inputs, ...outputs].every(isHalf)) for (const end of [...inputs, ...outputs]) wide.add(rootOf(end));
  }
  for (const tensor of graph.tensors) if (isHalf(tensor)) tensor.dtype = 'f16';
}

const halfCopy: ElementwiseFunction = {
  name: 'halfCopy',
  inputs: ['w'],
  scalars: [],
  results: ['w'],
  reference: (w) => [w!],
};

const isCopy = (tensor: Tensor): boolean => (tensor.producer as Node<'map'> | undefined)?.attrs.fn === halfCopy;

/**
 * Makes products read their weights from f16 copies, one of each parameter store, in front of the segment's other
 * nodes. Where a segment changes a store before it has read all of it, its products go on reading the store.
 */
function copyWeights(graph: Graph, weightsSegment: string | undefined): void {
  const made = new Map<string, Tensor>();
  const windows = new Map<string, Tensor>();
  const changed = changedBeforeUse(graph);
  const fresh: Node[] = [];
  const copyOf = (root: Tensor, segment: string): Tensor => {
    const key = `${segment} ${root.id}`;
    let copy = made.get(key);
    if (copy === undefined) {
      const scope = { segment, layer: 'weights', direction: 'data' } as const;
      const attrs = { fn: halfCopy, scalars: [], targets: ['new'] } as const;
      made.set(key, (copy = graph.scope(scope, () => graph.one('map', [root], attrs, `${root.name}.half`))));
      copy.dtype = 'f16';
      fresh.push(graph.nodes.pop()!);
    }
    return copy;
  };
  for (const [index, node] of graph.nodes.entries()) {
    const weight = node.inputs[1];
    if (!products.has(node.op) || weight?.kind !== 'parameter' || changed.has(`${node.segment} ${rootOf(weight).id}`))
      continue;
    const segment = weightsSegment ?? node.segment;
    const key = `${segment} ${weight.id}`;
    let window = windows.get(key);
    if (window === undefined) {
      const { root, offset } = resolveView(weight);
      windows.set(key, (window = graph.window(copyOf(root, segment), offset, weight.shape, `${weight.name}.half`)));
    }
    const [x, , ...rest] = node.inputs;
    const replaced: Node = { ...node, inputs: [x!, window, ...rest] };
    for (const output of replaced.outputs) output.producer = replaced;
    graph.nodes[index] = replaced;
  }
  graph.nodes.unshift(...fresh);
}

/** Segments and parameter stores, as `segment id`, where a store is changed in front of a product that reads it. */
function changedBeforeUse(graph: Graph): Set<string> {
  const written = new Set<string>();
  const late = new Set<string>();
  for (const node of graph.nodes) {
    const at = (tensor: Tensor): string => `${node.segment} ${rootOf(tensor).id}`;
    const weight = node.inputs[1];
    if (products.has(node.op) && weight !== undefined && written.has(at(weight))) late.add(at(weight));
    for (const slot of node.mutates) written.add(at(node.inputs[slot]!));
  }
  return late;
}
