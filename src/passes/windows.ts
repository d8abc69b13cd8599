import { channelWindow, resolveView } from '../graph/graph.js';
import type { Graph } from '../graph/graph.js';
import { pixelCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { isDepthwise } from '../graph/convolution.js';
import type { Group } from './group.js';
import { hasSlot, opTraits } from '../ops/traits.js';

const isUnitSlice = (node: Node): node is Node<'channelSlice'> =>
  node.op === 'channelSlice' && (node as Node<'channelSlice'>).attrs.stride.every((step) => step === 1);

/** A concatenation of channels. */
const joinsChannels = (node: Node): boolean => node.op === 'concat' && ((node as Node<'concat'>).attrs.axis ?? 1) === 1;

/** Whether a node's kernel works wherever `tensor`, one of its inputs or outputs, lies. */
function worksAnywhere(node: Node, tensor: Tensor): boolean {
  const slots = opTraits[node.op].pitchedInputs;
  if (node.op === 'channelSlice' && !isUnitSlice(node)) return false;
  if (node.op === 'concat' && !joinsChannels(node)) return false;
  if (node.op === 'conv2dWeightGradient') {
    const { attrs, inputs } = node as Node<'conv2dWeightGradient'>;
    if (isDepthwise(attrs, inputs[1]!.shape[1]!, attrs.weightShape)) return false;
  }
  return node.inputs.every((input, slot) => input !== tensor || hasSlot(slots, slot));
}

const membersOf = (group: Group): readonly Node[] => [group.anchor, ...group.followers];

/** Finds places one by one; each is compatible with those before. */
class Placing {
  readonly places = new Map<Tensor, Tensor>();
  /** Groups that read or write each tensor. */
  private readonly users = new Map<Tensor, Group[]>();
  private readonly mutated: ReadonlySet<Tensor>;
  /** Tensors that must stay where they are: outputs, and what a view refers to. */
  private readonly fixed: ReadonlySet<Tensor>;

  constructor(graph: Graph, groups: readonly Group[]) {
    this.mutated = new Set(graph.nodes.flatMap((node) => node.mutates.map((slot) => node.inputs[slot]!)));
    this.fixed = new Set([...graph.outputs.values(), ...graph.tensors.flatMap(({ view }) => view?.base ?? [])]);
    for (const group of groups) {
      for (const tensor of new Set(membersOf(group).flatMap((node) => [...node.inputs, ...node.outputs]))) {
        const list = this.users.get(tensor);
        if (list === undefined) this.users.set(tensor, [group]);
        else list.push(group);
      }
    }
  }

  /** Puts `tensor` over the channels of `base` from `first` on, where every kernel that touches it can work there. */
  place(tensor: Tensor, base: Tensor, first: number): void {
    const host = this.places.get(base) ?? base;
    if (this.places.has(tensor) || !this.movable(tensor)) return;
    if (base.kind !== 'value' || base.view !== undefined || this.mutated.has(base) || base.dtype !== tensor.dtype)
      return;
    // windows begin at whole words, which is what the host writes
    if (tensor.dtype === 'f16' && pixelCount(tensor.shape) % 2 !== 0) return;
    const users = this.users.get(tensor)!;
    const segment = base.producer?.segment;
    if (
      users.some(
        (group) => group.anchor.segment !== segment || !membersOf(group).every((node) => worksAnywhere(node, tensor)),
      )
    )
      return;
    this.places.set(tensor, channelWindow(tensor, host, first));
    if (!users.every((group) => this.keepsApart(group))) this.places.delete(tensor);
  }

  private movable(tensor: Tensor): boolean {
    const producer = this.users
      .get(tensor)
      ?.find((group) => membersOf(group).some((node) => node.outputs.includes(tensor)));
    return (
      tensor.view === undefined &&
      !this.fixed.has(tensor) &&
      !this.mutated.has(tensor) &&
      producer !== undefined &&
      opTraits[producer.anchor.op].pitchedOutput
    );
  }

  /**
   * Whether the dispatches of a group keep the rules of WebGPU: none reads a buffer that it writes, none writes two
   * windows of one. The copies of a concatenation are dispatches of their own, and what is in its place already is
   * not copied.
   */
  private keepsApart(group: Group): boolean {
    const { anchor } = group;
    const root = (tensor: Tensor): Tensor => resolveView(this.places.get(tensor) ?? tensor).root;
    if (joinsChannels(anchor))
      return anchor.inputs.every((part) => this.isInPlace(anchor, part) || root(part) !== root(anchor.outputs[0]!));
    if (
      isUnitSlice(anchor) &&
      this.places.get(anchor.outputs[0]!)?.view?.base === (this.places.get(anchor.inputs[0]!) ?? anchor.inputs[0])
    )
      return true;
    const members = membersOf(group);
    const inner = new Set(members.flatMap((node) => node.outputs));
    const written = [
      members.at(-1)!.outputs[0]!,
      ...group.kept,
      ...members.flatMap((node) => node.outputs.slice(1)),
    ].map(root);
    const read = members.flatMap((node) => node.inputs.filter((input) => !inner.has(input))).map(root);
    return new Set(written).size === written.length && !read.some((tensor) => written.includes(tensor));
  }

  /** Whether a concatenation's part lies in the place that it would be copied to, and is no part twice. */
  private isInPlace(concat: Node, part: Tensor): boolean {
    const [host] = concat.outputs as [Tensor];
    const view = this.places.get(part)?.view;
    return (
      view !== undefined &&
      view.base === (this.places.get(host) ?? host) &&
      concat.inputs.filter((input) => input === part).length === 1
    );
  }
}

/**
 * Finds tensors that can live inside a wider one: the parts of concatenations inside the result, and slices of
 * channels inside what they are cut from, so that neither is copied. Of a chain of concatenations, as in DenseNet,
 * the last and widest result holds all of them. Returns the tensors in their new places, as windows of channels; the
 * graph itself is untouched.
 */
export function placeWindows(graph: Graph, groups: readonly Group[]): Map<Tensor, Tensor> {
  const placing = new Placing(graph, groups);
  for (const node of [...graph.nodes].reverse()) {
    if (!joinsChannels(node)) continue;
    let first = 0;
    for (const part of node.inputs) {
      placing.place(part, node.outputs[0]!, first);
      first += part.shape[1]!;
    }
  }
  for (const node of graph.nodes)
    if (isUnitSlice(node)) placing.place(node.outputs[0]!, node.inputs[0]!, node.attrs.first);
  return placing.places;
}
