import type { Graph } from '../graph/graph.js';
import type { Node, Tensor } from '../graph/types.js';
import { isDepthwise } from '../graph/convolution.js';
import { writesMask } from './group.js';
import type { Group } from './group.js';
import { sameShape } from '../ops/elementwise.js';
import { joinsEpilogue, opTraits, runsEpilogue } from '../ops/traits.js';

/** Storage buffers every device can bind in one kernel. */
const maxOperands = 8;

/** Extra storage buffers that a node needs when it runs in an epilogue. */
function extraOperands(node: Node): number {
  const masks = node.op === 'activation' ? node.outputs.length - 1 : 0;
  // gamma of a batch norm is there for its gradient only
  const unread = node.op === 'batchNormApply' ? 1 : 0;
  return node.inputs.length - 1 - unread + masks;
}

const isConvolution = (node: Node): node is Node<'conv2d'> | Node<'conv2dInputGradient'> =>
  node.op === 'conv2d' || node.op === 'conv2dInputGradient';

/** Whether a packed mask of this chain starts at whole words of the anchor's row blocks. */
function fitsMasks(anchor: Node, follower: Node): boolean {
  const usesMask = writesMask(follower) || follower.inputs.some((input) => input.dtype === 'u32');
  if (!usesMask || !isConvolution(anchor) || anchor.attrs.groups === 1) return true;
  const channels = anchor.outputs[0]!.shape[1]!;
  if (isDepthwise(anchor.attrs, channels, anchor.inputs[1]!.shape)) return true;
  return (channels / anchor.attrs.groups) % 16 === 0;
}

/** Who reads each tensor, views included, by position in the node list. */
function readersOf(graph: Graph): Map<Tensor, Node[]> {
  const readers = new Map<Tensor, Node[]>();
  for (const node of graph.nodes) {
    for (const input of new Set(node.inputs)) {
      const list = readers.get(input);
      if (list === undefined) readers.set(input, [node]);
      else list.push(node);
    }
  }
  return readers;
}

/**
 * Groups the graph's nodes into kernels. With `fuse`, each chain of pointwise nodes joins the epilogue of the kernel
 * that produces its input, as long as nobody needs the results before the whole chain can run; without it every node
 * is a group. The graph itself is untouched. Groups come in running order.
 */
export function groupNodes(graph: Graph, fuse: boolean): Group[] {
  const readers = readersOf(graph);
  const position = new Map(graph.nodes.map((node, index) => [node, index]));
  const outputs = new Set(graph.outputs.values());
  const absorbed = new Set<Node>();
  const groups: { group: Group; at: number }[] = [];
  for (const anchor of graph.nodes) {
    if (absorbed.has(anchor)) continue;
    const followers: Node[] = [];
    const kept: Tensor[] = [];
    let operands = 3 + Math.max(0, anchor.inputs.length - 2);
    let last = anchor;
    let value = anchor.outputs[0];
    while (fuse && runsEpilogue(anchor.op) && value !== undefined) {
      const current = value;
      const next = (readers.get(current) ?? []).find((node) => joinsEpilogue(node.op) && !absorbed.has(node));
      if (next === undefined || next.segment !== anchor.segment || !fitsMasks(anchor, next)) break;
      if (!opTraits[next.op].eitherSide && next.inputs[0] !== current) break;
      if (!sameShape(next.outputs[0]!.shape, current.shape)) break;
      const stays = outputs.has(current) || (readers.get(current) ?? []).length > 1;
      const cost = extraOperands(next) + (stays ? 1 : 0);
      if (operands + cost > maxOperands) break;
      if (!canWait(graph, anchor, [...followers, next], position, readers)) break;
      operands += cost;
      if (stays) kept.push(current);
      followers.push(next);
      absorbed.add(next);
      last = next;
      value = next.outputs[0];
    }
    // what only the group itself reads again stays in registers
    const members = new Set<Node>([anchor, ...followers]);
    const read = (tensor: Tensor): boolean =>
      outputs.has(tensor) || (readers.get(tensor) ?? []).some((node) => !members.has(node));
    groups.push({ group: { anchor, followers, kept: kept.filter(read) }, at: position.get(last)! });
  }
  return groups.sort((left, right) => left.at - right.at).map(({ group }) => group);
}

/**
 * A group runs where its last member stood. That is sound when nothing in between reads an earlier result of the group,
 * or overwrites an input of one of its members.
 */
function canWait(
  graph: Graph,
  anchor: Node,
  followers: readonly Node[],
  position: Map<Node, number>,
  readers: Map<Tensor, Node[]>,
): boolean {
  const members = new Set<Node>([anchor, ...followers]);
  const last = Math.max(...[...members].map((node) => position.get(node)!));
  for (const member of members) {
    for (const output of member.outputs) {
      for (const reader of readers.get(output) ?? []) {
        if (!members.has(reader) && position.get(reader)! < last) return false;
      }
    }
  }
  const inputs = new Set([...members].flatMap((node) => node.inputs));
  for (let index = position.get(anchor)! + 1; index < last; index++) {
    const node = graph.nodes[index]!;
    if (!members.has(node) && node.mutates.some((slot) => inputs.has(node.inputs[slot]!))) return false;
  }
  return true;
}
