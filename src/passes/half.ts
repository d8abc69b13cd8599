import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import { resolveView } from '../graph/graph.js';
import type { Direction, ElementwiseFunction, Node, Precision, Tensor } from '../graph/types.js';
import { hasSlot, opTraits } from '../ops/traits.js';

/** What is summed over a batch, or added to what lives longer than a step, stays in f32. */
const wideDirections: ReadonlySet<Direction> = new Set<Direction>(['weightGradient', 'update', 'attack']);

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
    `the graph is stored in ${settled} and cannot be compiled in ${precision}; build it again`,
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
    const { halfInputs, halfOutput, view } = opTraits[node.op];
    if (view) continue;
    const narrows = halfOutput && !wideDirections.has(node.direction);
    for (const [slot, input] of node.inputs.entries()) if (!hasSlot(halfInputs, slot)) wide.add(rootOf(input));
    for (const [slot, output] of node.outputs.entries())
      if (!(narrows && slot === 0) && !isCopy(output)) wide.add(rootOf(output));
  }
  // A copy is wide where one of its ends is.
  const nodes = graph.nodes.filter((node) => opTraits[node.op].copies);
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
    if (
      !opTraits[node.op].weighted ||
      weight?.kind !== 'parameter' ||
      changed.has(`${node.segment} ${rootOf(weight).id}`)
    )
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
    if (opTraits[node.op].weighted && weight !== undefined && written.has(at(weight))) late.add(at(weight));
    for (const slot of node.mutates) written.add(at(node.inputs[slot]!));
  }
  return late;
}
