import { resolveView } from '../graph/graph.js';
import { byteLength, elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { lowerInSlices, moveGroup } from '../kernels/slice.js';
import { loweringTable } from '../kernels/table.js';
import type { Dispatch, Group, Lowering, LoweringContext } from '../kernels/types.js';
import { opTraits } from '../ops/traits.js';
import type { AttentionRegion } from '../passes/attention.js';

/** Bytes of the maps of one slice: what caches hold, and on GPUs enough work for all of it at a time. */
const sliceBytes = (software: boolean): number => (software ? 4 : 16) * 2 ** 20;

/** Parts that the maps of a region are cut into, in the order of memory, as many as one tensor or another has. */
interface Cut {
  readonly parts: number;
  /** Whether the parts are matrices: all axes in front of them become one. */
  readonly flat: boolean;
}

/** Matrices where only products, softmaxes and functions are at work; along the first axis where others are, too. */
function cutOf({ groups, maps }: AttentionRegion): Cut {
  const others = groups.some(({ anchor, followers }) =>
    [anchor, ...followers].some(({ op }) => ['operand', 'shape'].includes(opTraits[op].maps ?? '')),
  );
  if (!others) return { parts: elementCount([...maps][0]!.shape.slice(0, -2)), flat: true };
  const sizes = [...maps].map(({ shape }) => shape[0]!);
  const parts = Math.min(...sizes);
  return { parts: sizes.every((size) => size % parts === 0) ? parts : 1, flat: false };
}

/** Parts of a slice, of nearly equal number, at least one. */
function partsOfSlice(map: Tensor, parts: number, limit: number): number {
  const most = Math.max(1, Math.floor((limit * parts) / byteLength(map)));
  return Math.ceil(parts / Math.ceil(parts / most));
}

/** The shape of `count` of the `parts` of a tensor. */
const partShape = ({ shape }: Tensor, count: number, { parts, flat }: Cut): number[] =>
  flat ? [count, ...shape.slice(-2)] : [(count * shape[0]!) / parts, ...shape.slice(1)];

/** The parts [first, first + count) of a tensor. */
function partsOf(tensor: Tensor, first: number, count: number, cut: Cut): Tensor {
  const offset = (first * elementCount(tensor.shape)) / cut.parts;
  return { ...tensor, shape: partShape(tensor, count, cut), producer: undefined, view: { base: tensor, offset } };
}

/** A node on parts. */
function onParts(node: Node, { flat }: Cut): Node {
  const along = opTraits[node.op].maps === 'lines';
  return flat && along ? ({ ...node, attrs: { ...node.attrs, axis: 2 } } as Node) : node;
}

/** Operands that are the same for all parts, such as position biases. */
const isWhole = (tensor: Tensor, { op, outputs: [y] }: Node): boolean =>
  opTraits[op].maps === 'operand' && (tensor.shape.length < y!.shape.length || tensor.shape[0] !== y!.shape[0]);

/** The dispatches of a region, each with its group: slice by slice, in memory that all slices share. */
export function lowerAttention(
  region: AttentionRegion,
  context: LoweringContext,
  places: ReadonlyMap<Tensor, Tensor>,
): { group: Group; dispatch: Dispatch }[] {
  const { groups, maps } = region;
  const cut = cutOf(region);
  const limit = Math.min(sliceBytes(context.device.software), context.device.maxBindingBytes);
  const length = partsOfSlice([...maps][0]!, cut.parts, limit);
  const memory = new Map<Tensor, Tensor>();
  for (const map of maps)
    if (map.view === undefined) memory.set(map, context.scratch(map.name, partShape(map, length, cut), map.dtype));
  const found: { group: Group; dispatch: Dispatch }[] = [];
  for (let first = 0; first < cut.parts; first += length) {
    const count = Math.min(length, cut.parts - first);
    const at = (tensor: Tensor, node: Node): Tensor => {
      if (!maps.has(tensor)) {
        const placed = places.get(tensor) ?? tensor;
        return isWhole(tensor, node) ? placed : partsOf(placed, first, count, cut);
      }
      const base = memory.get(resolveView(tensor).root)!;
      if (count === length && tensor.view === undefined) return base;
      return { ...tensor, shape: partShape(tensor, count, cut), producer: undefined, view: { base, offset: 0 } };
    };
    for (const group of groups) {
      const nodes = [group.anchor, ...group.followers];
      const moved = new Map(
        nodes.flatMap((node) => [...node.inputs, ...node.outputs].map((tensor) => [tensor, at(tensor, node)])),
      );
      const { anchor, followers, kept } = moveGroup(group, moved);
      const part = { anchor: onParts(anchor, cut), followers: followers.map((node) => onParts(node, cut)), kept };
      const lower = loweringTable[anchor.op] as unknown as Lowering<Node['op']>;
      for (const dispatch of lowerInSlices(lower, part, context)) found.push({ group, dispatch });
    }
  }
  return found;
}
