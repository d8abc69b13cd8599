import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { firstImages } from '../kernels/slice.js';
import type { Group } from '../kernels/types.js';

/** Multiply-adds that checking one problem in float64 loops may take; a few seconds. */
const mostChecked = 4e7;

/** A graph of one group alone: what the group reads are its inputs, what it writes its outputs. */
export function standalone(group: Group): Graph {
  const graph = new Graph();
  const known = new Map<Tensor, Tensor>();
  const input = (tensor: Tensor): Tensor => {
    let own = known.get(tensor);
    if (own === undefined)
      known.set(
        tensor,
        (own = graph.input(`input ${known.size}`, tensor.shape, tensor.dtype === 'u32' ? 'u32' : 'f32')),
      );
    return own;
  };
  const add = (node: Node): void => {
    const outputs = graph.add(node.op, node.inputs.map(input), node.attrs as never);
    for (const [index, output] of outputs.entries()) known.set(node.outputs[index]!, output);
  };
  const members = [group.anchor, ...group.followers];
  members.forEach(add);
  const results = new Set([
    ...members.flatMap((node) => node.outputs.slice(1)),
    ...group.kept,
    members.at(-1)!.outputs[0]!,
  ]);
  for (const tensor of results) graph.output(`output ${graph.outputs.size}`, known.get(tensor)!);
  return graph;
}

/** Floating-point operations of a group's product. */
function products({ anchor }: Group): number {
  const output = anchor.outputs[0]!.shape;
  const [first, second] = anchor.inputs as [Tensor, Tensor];
  switch (anchor.op) {
    case 'conv2d':
      return elementCount(output) * elementCount(second.shape.slice(1));
    case 'conv2dInputGradient':
      return elementCount(first.shape) * elementCount(second.shape.slice(1));
    case 'conv2dWeightGradient':
      return elementCount(first.shape) * elementCount(output.slice(1));
    default:
      return elementCount(output) * (elementCount(first.shape) / output[0]!);
  }
}

/** The group on as many images as can be checked quickly, at least one. */
export function checkable(group: Group): Group {
  const batch = group.anchor.inputs[0]!.shape[0]!;
  const most = Math.floor((mostChecked * batch) / products(group));
  return most >= batch ? group : firstImages(group, Math.max(1, most));
}
