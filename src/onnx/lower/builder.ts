import { LinbpError, check } from '../../errors.js';
import type { AxisSlice } from '../geometry.js';
import { reducedShape } from '../geometry.js';
import { broadcastShape, transposed } from '../host/kernel.js';
import type { HostTensor, OnnxNode } from '../types.js';
import type { ResizeGeometry } from '../windows.js';
import type { BinaryKind, ConstantValue, DataValue, Step, StepAttributes, StepOp, Value } from './steps.js';

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);
const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, i) => size === b[i]);

/** An axis that holds the batch, and the elements of it that come before. */
interface BatchPlace {
  readonly axis: number;
  readonly outer: number;
}

/** The refusal of what would compute one image's result from another image's. */
function mixes(what: string): never {
  throw new LinbpError('unsupported', `${what} acts on the batch axis, so that images would not be independent`);
}

export const constant = (tensor: HostTensor): ConstantValue => ({ kind: 'constant', tensor });
export const shapeOf = (value: Value): readonly number[] => (value.kind === 'data' ? value.shape : value.tensor.shape);

/**
 * Collects steps; every method adds what it must, infers shape and batch axis, and returns the result. A method throws
 * `unsupported` or `bad-shape` with the reason alone; who calls it knows the node.
 */
export class StepBuilder {
  readonly steps: Step[] = [];
  /** Batch size that shapes are written for. */
  readonly batchSize: number;
  /** The step that makes a value. */
  readonly producers = new Map<DataValue, Step>();
  private node!: OnnxNode;
  private made = 0;

  constructor(batchSize: number) {
    this.batchSize = batchSize;
  }

  /** The node that steps come from, from now on. */
  at(node: OnnxNode): void {
    this.node = node;
    this.made = 0;
  }

  private push<K extends StepOp>(
    op: K,
    inputs: readonly Value[],
    attributes: StepAttributes[K],
    shape: readonly number[],
    batch: number | undefined,
    outer?: number,
  ): DataValue {
    const first = inputs.find((input): input is DataValue => input.kind === 'data');
    check(
      shape.every((size) => size > 0),
      'unsupported',
      `an empty result [${shape.join(', ')}]`,
    );
    const name = `${this.node.outputs[0] ?? this.node.name}${this.made === 0 ? '' : `.${this.made}`}`;
    this.made += 1;
    const before = outer ?? inputs.reduce((most, input) => (input.kind === 'data' ? (input.outer ?? most) : most), 1);
    const output: DataValue = {
      kind: 'data',
      name,
      shape,
      type: first?.type ?? 'float32',
      batch,
      ...(before > 1 && { outer: before }),
    };
    const step = { op, inputs, attributes, output, node: this.node } as unknown as Step;
    this.steps.push(step);
    this.producers.set(output, step);
    return output;
  }

  unary(x: DataValue, fn: string, ...values: number[]): DataValue {
    return this.push('unary', [x], { fn, values }, x.shape, x.batch);
  }

  prelu(x: DataValue, slope: HostTensor): DataValue {
    return this.push('prelu', [x, constant(slope)], {}, x.shape, x.batch);
  }

  /**
   * Takes the batch out of a constant that was computed for the file's batch size: its images must be alike.
   * `axis` is the batch axis among `rank` axes that the constant's are aligned with at the end.
   */
  private withoutBatch(value: ConstantValue, axis: number | undefined, rank: number): ConstantValue {
    if (axis === undefined) return value;
    const { tensor } = value;
    const own = axis - rank + tensor.shape.length;
    const size = tensor.shape[own];
    if (size === undefined || size === 1 || this.batchSize === 1 || size % this.batchSize !== 0) return value;
    const inner = product(tensor.shape.slice(own + 1));
    const part = (size / this.batchSize) * inner;
    for (let i = 0; i < tensor.data.length; i++) {
      const image = Math.floor(i / part) % this.batchSize;
      if (tensor.data[i] !== tensor.data[i - image * part])
        throw new LinbpError('unsupported', 'a constant that differs from image to image');
    }
    const shape = tensor.shape.map((each, i) => (i === own ? each / this.batchSize : each));
    const outer = product(tensor.shape.slice(0, own));
    const data = new Float64Array(outer * part);
    for (let o = 0; o < outer; o++)
      data.set(tensor.data.subarray(o * part * this.batchSize, o * part * this.batchSize + part), o * part);
    const whole = tensor.repeats?.data.length === data.length ? tensor.repeats : undefined;
    return constant({ type: tensor.type, shape, data, ...(whole?.origin !== undefined && { origin: whole.origin }) });
  }

  /** The batch axis of operands that broadcast to `rank` axes. */
  private commonBatch(values: readonly Value[], rank: number): number | undefined {
    const axes = values.flatMap((value) =>
      value.kind === 'data' && value.batch !== undefined ? [value.batch + rank - value.shape.length] : [],
    );
    check(
      axes.every((axis) => axis === axes[0]),
      'unsupported',
      'two tensors with their batches along different axes',
    );
    return axes[0];
  }

  binary(kind: BinaryKind, a: Value, b: Value): DataValue {
    const rank = Math.max(shapeOf(a).length, shapeOf(b).length);
    const batch = this.commonBatch([a, b], rank);
    const operands = [a, b].map((value) => (value.kind === 'constant' ? this.withoutBatch(value, batch, rank) : value));
    const shape = broadcastShape(shapeOf(operands[0]!), shapeOf(operands[1]!));
    // The engine repeats one operand only; of two the first is repeated before.
    if (!operands.some((value) => same(shapeOf(value), shape))) {
      const index = operands.findIndex((value) => value.kind === 'data');
      operands[index] = this.expand(operands[index] as DataValue, shape);
    }
    return this.push('binary', operands, { kind }, shape, batch);
  }

  reshape(x: DataValue, shape: readonly number[], batchAxis?: number): DataValue {
    if (same(x.shape, shape)) return x;
    check(product(shape) === product(x.shape), 'bad-shape', `[${x.shape.join(', ')}] as [${shape.join(', ')}]`);
    const place: BatchPlace | undefined =
      x.batch === undefined
        ? undefined
        : batchAxis === undefined
          ? this.batchAfter(x, shape)
          : { axis: batchAxis, outer: x.outer ?? 1 };
    const from = this.producers.get(x);
    const source = from?.op === 'reshape' ? (from.inputs[0] as DataValue) : x;
    const returns = same(source.shape, shape) && source.batch === place?.axis;
    if (returns && (source.outer ?? 1) === (place?.outer ?? 1)) return source;
    return this.push('reshape', [source], { shape }, shape, place?.axis, place?.outer ?? 1);
  }

  /**
   * Where the batch is after a reshape: in an axis that has the same elements in front of it. Where several could be,
   * which happens for a batch of 1, it stays within the axes that change.
   */
  private batchAfter(x: DataValue, shape: readonly number[]): BatchPlace {
    const own = x.batch!;
    const before = product(x.shape.slice(0, own)) * (x.outer ?? 1);
    const candidates = shape.flatMap((size, axis): BatchPlace[] => {
      const outer = before / product(shape.slice(0, axis));
      return Number.isInteger(outer) && size % (outer * this.batchSize) === 0 ? [{ axis, outer }] : [];
    });
    let lead = 0;
    while (lead < own && shape[lead] === x.shape[lead]) lead++;
    let tail = 0;
    while (tail < x.shape.length - own - 1 && shape.at(-1 - tail) === x.shape.at(-1 - tail)) tail++;
    const changed = candidates.filter(({ axis }) => axis >= lead && axis < shape.length - tail);
    // Nor does it join the features in the last axis, where the rows could have it.
    const rows = changed.filter(({ axis }) => axis < shape.length - 1);
    const place = rows.find(({ outer }) => outer === 1) ?? rows[0] ?? candidates.at(0) ?? changed[0];
    if (place === undefined) mixes(`a reshape of [${x.shape.join(', ')}] to [${shape.join(', ')}]`);
    return place;
  }

  transpose(x: DataValue, perm: readonly number[]): DataValue {
    const from = this.producers.get(x);
    if (from?.op === 'transpose') {
      const first = (from as unknown as Step<'transpose'>).attributes.perm;
      const source = from.inputs[0] as DataValue;
      return this.transpose(
        source,
        perm.map((axis) => first[axis]!),
      );
    }
    // Moving axes of size 1 about moves no element.
    const large = perm.filter((axis) => x.shape[axis] !== 1);
    const shape = perm.map((axis) => x.shape[axis]!);
    const batch = x.batch === undefined ? undefined : perm.indexOf(x.batch);
    if (perm.every((axis, i) => axis === i)) return x;
    const batchMoves = x.batch !== undefined && x.shape[x.batch] === 1;

    if (!batchMoves && large.every((axis, i) => i === 0 || axis > large[i - 1]!)) return this.reshape(x, shape, batch);
    return this.push('transpose', [x], { perm }, shape, batch);
  }

  slice(x: DataValue, cut: readonly AxisSlice[]): DataValue {
    if (cut.every(({ start, step, size }, axis) => start === 0 && step === 1 && size === x.shape[axis])) return x;
    const whole = (axis: number): boolean => cut[axis]!.step === 1 && cut[axis]!.size === x.shape[axis];
    if (x.batch !== undefined && !whole(x.batch)) mixes('a slice');
    return this.push(
      'slice',
      [x],
      { cut },
      cut.map(({ size }) => size),
      x.batch,
    );
  }

  /** A part of one axis. */
  sliceAxis(x: DataValue, axis: number, start: number, size: number): DataValue {
    return this.slice(
      x,
      x.shape.map((each, i) => (i === axis ? { start, step: 1, size } : { start: 0, step: 1, size: each })),
    );
  }

  pad(x: DataValue, pads: readonly number[], mode: string, value: number): DataValue {
    if (pads.every((size) => size === 0)) return x;
    const rank = x.shape.length;
    if (x.batch !== undefined && (pads[x.batch] !== 0 || pads[x.batch + rank] !== 0)) mixes('padding');
    let source = x;
    if (pads.some((size) => size < 0)) {
      // Negative pads cut.
      source = this.slice(
        x,
        x.shape.map((size, axis) => {
          const [before, after] = [Math.min(0, pads[axis]!), Math.min(0, pads[axis + rank]!)];
          return { start: -before, step: 1, size: size + before + after };
        }),
      );
    }
    const grow = pads.map((size) => Math.max(0, size));
    const shape = source.shape.map((size, axis) => size + grow[axis]! + grow[axis + rank]!);
    if (grow.every((size) => size === 0)) return source;
    return this.push('pad', [source], { pads: grow, mode, value }, shape, source.batch);
  }

  concat(parts: readonly Value[], axis: number): DataValue {
    const rank = shapeOf(parts[0]!).length;
    const batch = this.commonBatch(parts, rank);
    if (batch === axis) mixes('a concatenation');
    const operands = parts.map((part) => (part.kind === 'constant' ? this.withoutBatch(part, batch, rank) : part));
    const data = operands.find((part) => part.kind === 'data')!;
    for (const part of operands)
      check(
        shapeOf(part).length === rank &&
          shapeOf(part).every((size, i) => i === axis || i === batch || size === shapeOf(data)[i]),
        'bad-shape',
        `[${shapeOf(part).join(', ')}] and [${shapeOf(data).join(', ')}] along axis ${axis}`,
      );
    if (operands.length === 1) return data as DataValue;
    const shape = shapeOf(data).map((size, i) =>
      i === axis ? operands.reduce((sum, part) => sum + shapeOf(part)[i]!, 0) : size,
    );
    return this.push('concat', operands, { axis }, shape, batch);
  }

  gather(x: DataValue, axis: number, indices: readonly number[]): DataValue {
    if (x.batch === axis) mixes('an index');
    const step = indices.length < 2 ? 1 : indices[1]! - indices[0]!;
    const even = indices.every((index, i) => i === 0 || index - indices[i - 1]! === step);
    if (step !== 0 && even)
      return this.slice(
        x,
        x.shape.map((size, i) =>
          i === axis ? { start: indices[0]!, step, size: indices.length } : { start: 0, step: 1, size },
        ),
      );
    const shape = x.shape.map((size, i) => (i === axis ? indices.length : size));
    return this.push('gather', [x], { axis, indices }, shape, x.batch);
  }

  expand(x: DataValue, wanted: readonly number[]): DataValue {
    const shape = broadcastShape(x.shape, wanted);
    if (same(shape, x.shape)) return x;
    const batch = x.batch === undefined ? undefined : x.batch + shape.length - x.shape.length;
    return this.push('expand', [x], { shape }, shape, batch);
  }

  reduce(x: DataValue, kind: StepAttributes['reduce']['kind'], axes: readonly number[], keep: boolean): DataValue {
    if (axes.length === 0) return x;
    if (x.batch !== undefined && axes.includes(x.batch)) mixes('a reduction');
    const kept = this.push('reduce', [x], { kind, axes }, reducedShape(x.shape, axes, true), x.batch);
    if (keep) return kept;
    const batch = x.batch === undefined ? undefined : x.batch - axes.filter((axis) => axis < x.batch!).length;
    return this.reshape(kept, reducedShape(x.shape, axes, false), batch);
  }

  softmax(x: DataValue, axis: number, log: boolean): DataValue {
    if (x.batch === axis) mixes('a softmax');
    return this.push('softmax', [x], { axis, log }, x.shape, x.batch);
  }

  layerNorm(
    x: DataValue,
    axes: readonly number[],
    epsilon: number,
    scale?: ConstantValue,
    shift?: ConstantValue,
    rms = false,
  ): DataValue {
    if (x.batch !== undefined && axes.includes(x.batch)) mixes('a normalization');
    const operands = [scale, shift].filter((value) => value !== undefined);
    return this.push('layerNorm', [x, ...operands], { axes, epsilon, rms }, x.shape, x.batch);
  }

  /** Convolutions, poolings and whatever else works on [N, C, H, W]. */
  image<K extends 'conv' | 'convTranspose' | 'maxPool' | 'averagePool' | 'lrn' | 'batchNorm'>(
    op: K,
    x: DataValue,
    operands: readonly ConstantValue[],
    attributes: StepAttributes[K],
    shape: readonly number[],
  ): DataValue {
    if (x.batch !== undefined && (x.batch !== 0 || (x.outer ?? 1) > 1))
      throw new LinbpError('unsupported', 'images whose batch is not the first axis');
    return this.push(op, [x, ...operands], attributes, shape, x.batch);
  }

  resize(x: DataValue, how: ResizeGeometry): DataValue {
    const changes = how.axes.flatMap(({ output, scale }, axis) =>
      output === x.shape[axis] && scale === 1 ? [] : [axis],
    );
    if (changes.length === 0) return x;
    if (x.batch !== undefined && changes.includes(x.batch)) mixes('a resize');
    return this.push(
      'resize',
      [x],
      { how },
      how.axes.map(({ output }) => output),
      x.batch,
    );
  }

  /** x times a constant matrix [I, O] along its last axis, plus an optional bias [O]. */
  linear(x: DataValue, weight: HostTensor, bias?: HostTensor): DataValue {
    const rank = x.shape.length;
    if (x.batch === rank - 1) mixes('a product');
    const turned = { ...transposed(weight, [1, 0]), ...(weight.origin !== undefined && { origin: weight.origin }) };
    const operands = [constant(turned), ...(bias === undefined ? [] : [constant(bias)])];
    const shape = [...x.shape.slice(0, -1), weight.shape[1]!];
    return this.push('linear', [x, ...operands], {}, shape, x.batch);
  }

  matmul(a: Value, b: Value): DataValue {
    const [left, right] = [shapeOf(a), shapeOf(b)];
    check(
      left.length >= 2 && right.length >= 2 && left.at(-1) === right.at(-2),
      'bad-shape',
      `[${left.join(', ')}] times [${right.join(', ')}]`,
    );
    if (a.kind === 'data' && b.kind === 'constant' && right.length === 2) return this.linear(a, b.tensor);
    const rank = Math.max(left.length, right.length);
    const places = [a, b].flatMap((value) => {
      if (value.kind === 'constant' || value.batch === undefined) return [];
      const fromEnd = value.shape.length - value.batch;
      const inner = value === a ? 1 : 2;
      if (fromEnd === inner) mixes('a product');
      return [rank - fromEnd];
    });
    const batch = places[0];
    check(
      places.every((axis) => axis === batch),
      'unsupported',
      'a product of tensors with different batch axes',
    );
    const operands = [a, b].map((value) => (value.kind === 'constant' ? this.withoutBatch(value, batch, rank) : value));
    const outer = broadcastShape(shapeOf(operands[0]!).slice(0, -2), shapeOf(operands[1]!).slice(0, -2));
    return this.push('matmul', operands, {}, [...outer, left.at(-2)!, right.at(-1)!], batch);
  }
}
