import type { Graph } from '../graph/graph.js';
import { resolveView } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { opTraits } from '../ops/traits.js';
import type { Group } from './group.js';

/**
 * Groups around a softmax between two products, as in attention, whose results with a number for every pair of places
 * live for a few matrices at a time: all groups run for these, then for the next ones.
 */
export interface AttentionRegion {
  /** In running order. Those of a backward begin with the forward's that make its maps again. */
  readonly groups: readonly Group[];
  /** What only these groups write and read, equally many numbers each; all but constants is [N, ...]. */
  readonly maps: ReadonlySet<Tensor>;
  /** Where the region runs: the place of this group of the graph, the last of its own. */
  readonly last: Group;
}

/** What a node that is no product reads and writes of maps: all, but for constants such as position biases. */
const mapsOf = ({ op, inputs, outputs }: Node): readonly Tensor[] =>
  opTraits[op].maps === 'operand'
    ? [...inputs.filter((input) => resolveView(input).root.kind === 'value'), ...outputs]
    : [...inputs, ...outputs];
const membersOf = ({ anchor, followers }: Group): Node[] => [anchor, ...followers];

/** What regions are found in. */
class Search {
  readonly groups: readonly Group[];
  private readonly outputs: ReadonlySet<Tensor>;
  private readonly place = new Map<Group, number>();
  private readonly groupOf = new Map<Node, Group>();
  private readonly readers = new Map<Tensor, Node[]>();
  private readonly mutated: ReadonlySet<Tensor>;

  constructor(graph: Graph, groups: readonly Group[]) {
    this.groups = groups;
    this.outputs = new Set(graph.outputs.values());
    this.mutated = new Set(
      graph.nodes.flatMap((node) => node.mutates.map((slot) => resolveView(node.inputs[slot]!).root)),
    );
    for (const [place, group] of groups.entries()) {
      this.place.set(group, place);
      for (const node of membersOf(group)) this.groupOf.set(node, group);
    }
    for (const node of graph.nodes)
      for (const input of new Set(node.inputs)) this.readers.set(input, [...(this.readers.get(input) ?? []), node]);
  }

  /** The regions around a softmax: that of the forward and, where there is one, of the backward. */
  around(softmax: Group): AttentionRegion[] {
    const found = this.connected(softmax);
    if (found === undefined) return [];
    const { maps } = found;
    const groups = [...found.groups].sort((left, right) => this.place.get(left)! - this.place.get(right)!);
    const isForward = ({ anchor }: Group): boolean => anchor.direction === 'forward';
    const forward = groups.filter(isForward);
    const backward = groups.filter((group) => !isForward(group));
    const parts = [forward, backward].filter((part) => part.length > 0);
    if (!parts.every((part) => this.canWait(part, maps))) return [];
    return parts.map((part) => ({
      groups: part === backward ? [...makersOf(backward, forward, maps), ...backward] : part,
      maps,
      last: part.at(-1)!,
    }));
  }

  /** All that hangs together by maps; undefined where something there is not of the kind that can be cut. */
  private connected(softmax: Group): { maps: Set<Tensor>; groups: Set<Group> } | undefined {
    const { segment } = softmax.anchor;
    const [maps, groups] = [new Set<Tensor>(), new Set<Group>()];
    const open = [softmax.anchor.outputs[0]!, softmax.anchor.inputs[0]!];
    for (let map = open.pop(); map !== undefined; map = open.pop()) {
      if (maps.has(map)) continue;
      maps.add(map);
      const { producer } = map;
      const elsewhere = map.view !== undefined && producer?.op !== 'reshape';
      if (producer === undefined || map.kind !== 'value' || elsewhere || this.outputs.has(map)) return;
      for (const node of [producer, ...(this.readers.get(map) ?? [])]) {
        const group = this.groupOf.get(node);
        if (group === undefined || node.segment !== segment) return;
        groups.add(group);
        if (opTraits[node.op].maps !== 'product') open.push(...mapsOf(node));
      }
    }
    const elements = elementCount(softmax.anchor.outputs[0]!.shape);
    const fits = [...maps].every(({ shape }) => shape.length > 2 && elementCount(shape) === elements);
    const canCut = (group: Group): boolean => membersOf(group).every((node) => this.canCut(node, group, maps));
    return fits && [...groups].every(canCut) ? { maps, groups } : undefined;
  }

  private canCut(node: Node, group: Group, maps: ReadonlySet<Tensor>): boolean {
    const { op, inputs, outputs } = node;
    const all = [...inputs, ...outputs];
    const own = all.filter((tensor) => maps.has(tensor));
    const others = all.filter((tensor) => !maps.has(tensor));
    const { shape } = own[0]!;
    const alike = (tensor: Tensor, axes: number): boolean =>
      tensor.shape.length === shape.length && shape.slice(0, axes).every((size, axis) => size === tensor.shape[axis]);
    if (!others.every((tensor) => !this.mutated.has(resolveView(tensor).root))) return false;
    switch (opTraits[op].maps) {
      case 'product':
        return (
          group.followers.length === 0 && own.length === 1 && all.every((tensor) => alike(tensor, shape.length - 2))
        );
      case 'shape':
        return own.length === 2;
      case 'operand':
        return others.length < 2 && own.every((tensor) => alike(tensor, shape.length));
      case 'lines':
        if (((node as Node<'softmax'>).attrs.axis ?? 1) !== shape.length - 1) return false;
        return others.length === 0 && all.every((tensor) => alike(tensor, shape.length));
      case 'elements':
        return others.length === 0 && all.every((tensor) => alike(tensor, shape.length));
      case undefined:
        return false;
    }
  }

  /** Whether the groups of a part may all run where the last of them does: nothing in between reads their results. */
  private canWait(part: readonly Group[], maps: ReadonlySet<Tensor>): boolean {
    const last = this.place.get(part.at(-1)!)!;
    const results = part.flatMap((group) => membersOf(group).flatMap(({ outputs }) => outputs));
    return results.every(
      (result) =>
        maps.has(result) ||
        (this.readers.get(result) ?? []).every((node) => this.place.get(this.groupOf.get(node)!)! > last),
    );
  }
}

/** The groups of the forward that make what the backward reads of its maps, as part of the backward. */
function makersOf(backward: readonly Group[], forward: readonly Group[], maps: ReadonlySet<Tensor>): Group[] {
  const wanted = new Set(backward.flatMap((group) => membersOf(group).flatMap(({ inputs }) => inputs)));
  const needed: Group[] = [];
  for (const group of [...forward].reverse()) {
    const nodes = membersOf(group);
    if (!nodes.some(({ outputs }) => outputs.some((output) => maps.has(output) && wanted.has(output)))) continue;
    needed.unshift(group);
    for (const { inputs } of nodes) for (const input of inputs) wanted.add(input);
  }
  const again = (node: Node): Node => ({ ...node, direction: 'inputGradient' });
  return needed.map(({ anchor, followers, kept }) => ({
    anchor: again(anchor),
    followers: followers.map(again),
    kept,
  }));
}

/**
 * The attentions of a graph that can be worked off slice by slice: products of matrices with the same axes in front,
 * softmaxes along rows, and pointwise ops between them, that nothing else reads. The maps of the forward are not kept
 * for the backward, which makes them again, slice by slice: that costs one product more and saves the largest tensors
 * that a transformer would keep.
 */
export function attentionRegions(graph: Graph, groups: readonly Group[]): AttentionRegion[] {
  const softmaxes = groups.filter(({ anchor }) => anchor.op === 'softmax' && anchor.outputs[0]!.shape.length > 2);
  if (softmaxes.length === 0) return [];
  const search = new Search(graph, groups);
  return softmaxes.flatMap((softmax) => search.around(softmax));
}
