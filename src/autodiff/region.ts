import type { Node, Region, Tensor } from '../graph/types.js';
import { opTraits } from '../ops/traits.js';

/** Tensors that depend on one of `sources`: gradients flow through these only. Nodes come in running order. */
export function dependents(
  nodes: readonly Node[],
  sources: readonly Tensor[],
  without: ReadonlySet<Node> = new Set(),
): Set<Tensor> {
  const reached = new Set<Tensor>(sources);
  for (const node of nodes) {
    if (without.has(node)) continue;
    if (node.inputs.some((input) => reached.has(input))) for (const output of node.outputs) reached.add(output);
  }
  return reached;
}

/** Softmaxes whose results some product reads: the maps of attention. */
export function attentionMaps(nodes: readonly Node[]): Set<Node> {
  const read = new Set(nodes.filter(({ op }) => op === 'matmul').flatMap((node) => node.inputs));
  // A product may take the map in another shape.
  for (const node of [...nodes].reverse())
    if (opTraits[node.op].rearranges && read.has(node.outputs[0]!)) read.add(node.inputs[0]!);
  return new Set(nodes.filter((node) => node.op === 'softmax' && read.has(node.outputs[0]!)));
}

/** The nodes on the ways from a region's input to its output, in running order, and what they compute. */
export interface Interior {
  readonly nodes: readonly Node[];
  readonly tensors: ReadonlySet<Tensor>;
}

/** Finds a region's {@link Interior} among a graph's forward nodes. */
export function interiorOf(forward: readonly Node[], region: Region): Interior {
  const behind = dependents(forward, [region.input]);
  const wanted = new Set<Tensor>([region.output]);
  const nodes: Node[] = [];
  for (const node of [...forward].reverse()) {
    if (!node.outputs.some((output) => wanted.has(output) && behind.has(output) && output !== region.input)) continue;
    nodes.push(node);
    for (const input of node.inputs) wanted.add(input);
  }
  nodes.reverse();
  return { nodes, tensors: new Set(nodes.flatMap((node) => node.outputs)) };
}
