import { elementBytes, elementCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { imagesOf, lowerInSlices, moveGroup } from '../kernels/slice.js';
import { loweringTable } from '../kernels/table.js';
import type { Dispatch, Group, Lowering, LoweringContext } from '../kernels/types.js';
import type { AttentionRegion } from '../passes/attention.js';

/** Bytes of the maps of one slice: what caches hold, and on GPUs enough work for all of it at a time. */
const sliceBytes = (software: boolean): number => (software ? 4 : 16) * 2 ** 20;

/** Matrices of a slice, of nearly equal number, of which at least one. */
function sliceCount(map: Tensor, total: number, limit: number): number {
  const most = Math.max(1, Math.floor(limit / (elementBytes(map) * elementCount(map.shape.slice(-2)))));
  return Math.ceil(total / Math.ceil(total / most));
}

/** The matrices [first, first + count) of a tensor [..., rows, columns]. */
function matricesOf(tensor: Tensor, first: number, count: number): Tensor {
  const matrix = tensor.shape.slice(-2);
  const offset = first * elementCount(matrix);
  return { ...tensor, shape: [count, ...matrix], producer: undefined, view: { base: tensor, offset } };
}

/** A node on matrices of which all axes in front are one. */
function onMatrices(node: Node): Node {
  const along = node.op === 'softmax' || node.op === 'softmaxBackward';
  return along ? ({ ...node, attrs: { ...node.attrs, axis: 2 } } as Node) : node;
}

/** The dispatches of a region, each with its group: slice by slice, in memory that all slices share. */
export function lowerAttention(
  { groups, maps }: AttentionRegion,
  context: LoweringContext,
  places: ReadonlyMap<Tensor, Tensor>,
): { group: Group; dispatch: Dispatch }[] {
  const [some] = maps;
  const total = elementCount(some!.shape.slice(0, -2));
  const length = sliceCount(
    some!,
    total,
    Math.min(sliceBytes(context.device.software), context.device.maxBindingBytes),
  );
  const memory = new Map(
    [...maps].map((map) => [map, context.scratch(map.name, [length, ...map.shape.slice(-2)], map.dtype)]),
  );
  const found: { group: Group; dispatch: Dispatch }[] = [];
  for (let first = 0; first < total; first += length) {
    const count = Math.min(length, total - first);
    const at = (tensor: Tensor): Tensor => {
      const slice = memory.get(tensor);
      if (slice === undefined) return matricesOf(places.get(tensor) ?? tensor, first, count);
      return count === length ? slice : imagesOf(slice, 0, count);
    };
    for (const group of groups) {
      const nodes = [group.anchor, ...group.followers];
      const tensors = nodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
      const { anchor, followers, kept } = moveGroup(group, new Map(tensors.map((tensor) => [tensor, at(tensor)])));
      const moved = { anchor: onMatrices(anchor), followers: followers.map(onMatrices), kept };
      const lower = loweringTable[anchor.op] as unknown as Lowering<Node['op']>;
      for (const dispatch of lowerInSlices(lower, moved, context)) found.push({ group, dispatch });
    }
  }
  return found;
}
