import type { Node, Region, Tensor } from '../graph/types.js';

/** Tensors that depend on one of `sources`: gradients flow through these only. Nodes come in running order. */
export function dependents(nodes: readonly Node[], sources: readonly Tensor[]): Set<Tensor> {
  const reached = new Set<Tensor>(sources);
  for (const node of nodes) {
    if (node.inputs.some((input) => reached.has(input))) for (const output of node.outputs) reached.add(output);
  }
  return reached;
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
