import { LinbpError } from '../errors.js';
import { elementBytes, imagePitch, spanBytes } from '../graph/types.js';
import type { Node, OpName, Tensor } from '../graph/types.js';
import { batchInputs, hasSlot, opTraits } from '../ops/traits.js';
import type { Dispatch, Group, Lowering, LoweringContext } from './types.js';

/** The images [first, first + count) of a tensor as a window of it. */
export function imagesOf(tensor: Tensor, first: number, count: number): Tensor {
  const rest = tensor.shape.slice(1);
  const pitch = imagePitch(tensor);
  return {
    ...tensor,
    shape: [count, ...rest],
    producer: undefined,
    view: { base: tensor, offset: first * pitch, pitch },
  };
}

/** Whether an operand of one of the dispatches is larger than the device binds. */
const tooLarge = (dispatches: readonly Dispatch[], limit: number): boolean =>
  dispatches.some((dispatch) =>
    dispatch.operands.some((operand) => (operand.range?.length ?? spanBytes(operand.tensor) + 252) > limit),
  );

/** Images of the largest slices, of nearly equal size, in which no tensor of `tensors` exceeds the limit. */
export function sliceLength(tensors: readonly Tensor[], batch: number, limit: number): number {
  const perImage = Math.max(...tensors.map((tensor) => elementBytes(tensor) * imagePitch(tensor)));
  const most = Math.floor((limit - 252) / perImage);
  return most < 1 ? 0 : Math.ceil(batch / Math.ceil(batch / most));
}

/**
 * Tensors of a group with one stretch of memory per image; undefined where one of its ops does not treat images apart.
 */
function batchedTensors(group: Group): ReadonlySet<Tensor> | undefined {
  const batched = new Set<Tensor>();
  for (const node of [group.anchor, ...group.followers]) {
    const slots = batchInputs(node);
    if (slots === undefined) return undefined;
    for (const [index, input] of node.inputs.entries()) if (hasSlot(slots, index)) batched.add(input);
    for (const output of node.outputs) batched.add(output);
  }
  return batched;
}

/** A group whose tensors are in other places: those that `places` has. */
export function moveGroup(group: Group, places: ReadonlyMap<Tensor, Tensor>): Group {
  const at = (tensor: Tensor): Tensor => places.get(tensor) ?? tensor;
  const move = (node: Node): Node => ({ ...node, inputs: node.inputs.map(at), outputs: node.outputs.map(at) });
  return { anchor: move(group.anchor), followers: group.followers.map(move), kept: group.kept.map(at) };
}

/** The same nodes on the images [first, first + count) of the tensors `batched`. */
export function sliceGroup(group: Group, batched: ReadonlySet<Tensor>, first: number, count: number): Group {
  const { anchor, followers, kept } = moveGroup(
    group,
    new Map([...batched].map((tensor) => [tensor, imagesOf(tensor, first, count)])),
  );
  const cut = (node: Node): Node => {
    const { inputShape, shape } = node.attrs as { inputShape?: readonly number[]; shape?: readonly number[] };
    const attrs = {
      ...node.attrs,
      ...(inputShape === undefined ? {} : { inputShape: [count, ...inputShape.slice(1)] }),
      ...(shape === undefined ? {} : { shape: [count, ...shape.slice(1)] }),
    };
    return { ...node, attrs } as Node;
  };
  return { anchor: cut(anchor), followers: followers.map(cut), kept };
}

/**
 * A group on its first `count` images, where its ops treat images apart or add up over them; otherwise the group
 * itself.
 */
export function firstImages(group: Group, count: number): Group {
  const { op, inputs } = group.anchor;
  const batched = opTraits[op].sumsBatch ? new Set(inputs) : batchedTensors(group);
  return batched === undefined ? group : sliceGroup(group, batched, 0, count);
}

/**
 * Lowers a group; where one of its tensors is larger than the device binds, the batch is cut into slices of images,
 * each with dispatches of its own on windows of the same memory. The sums are the same, so are the results.
 * Throws `limit-exceeded` when that does not help.
 */
export function lowerInSlices(lower: Lowering<OpName>, group: Group, context: LoweringContext): Dispatch[] {
  const whole = lower(group.anchor, group, context);
  const limit = context.device.maxBindingBytes;
  if (!tooLarge(whole, limit)) return whole;
  const batched = batchedTensors(group);
  if (batched === undefined) return refuse(group, limit);
  const batch = group.anchor.inputs[0]!.shape[0]!;
  const length = sliceLength([...batched], batch, limit);
  if (length < 1) return refuse(group, limit);
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < batch; first += length) {
    const slice = sliceGroup(group, batched, first, Math.min(length, batch - first));
    dispatches.push(...lower(slice.anchor, slice, context));
  }
  return tooLarge(dispatches, limit) ? refuse(group, limit) : dispatches;
}

function refuse(group: Group, limit: number): never {
  const { op, layer } = group.anchor;
  throw new LinbpError(
    'limit-exceeded',
    `${op} (${layer}) needs a binding of more than the ${limit} bytes that the device allows, and cannot be cut`,
    {
      field: layer || op,
    },
  );
}
