import { LinbpError } from '../../errors.js';
import { scalarFunctions } from '../../graph/functions.js';
import type { ScalarFunctionName } from '../../graph/functions.js';
import type { Graph } from '../../graph/graph.js';
import type { Tensor } from '../../graph/types.js';
import { padSource } from '../geometry.js';
import type { HostTensor } from '../types.js';
import { resizeTaps } from '../windows.js';
import { alongAxis, binary, reshape, unary } from './emitContext.js';
import type { EmitContext, EmitTarget } from './emitContext.js';
import { emitAveragePool, emitConv, emitConvTranspose, emitMaxPool } from './emitImages.js';
import type { DataValue, Step, StepOp, Value } from './steps.js';

type Emit<K extends StepOp> = (step: Step<K>, context: EmitContext) => Tensor;

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function emitUnary(step: Step<'unary'>, { target, graph, tensor }: EmitContext): Tensor {
  const { fn, values } = step.attributes;
  const x = tensor(0);
  if (fn === 'relu6Official') return target.activation(step as unknown as Step, x, fn, {}) ?? relu6Official(graph, x);
  if (!Object.hasOwn(scalarFunctions, fn)) throw new LinbpError('unsupported', `the function ${fn}`);
  const kind = fn as ScalarFunctionName;
  const options = values.length > 0 ? { values } : {};
  return target.activation(step as unknown as Step, x, kind, options) ?? unary(graph, x, kind, ...values);
}

/** x + relu(-x) + relu(x - 6), where it is no activation. */
function relu6Official(graph: Graph, x: Tensor): Tensor {
  const negative = unary(graph, unary(graph, x, 'affine', -1, 0), 'relu');
  return graph.one(
    'add',
    [graph.one('add', [x, negative], {}), unary(graph, unary(graph, x, 'affine', 1, -6), 'relu')],
    {},
  );
}

/**
 * The largest element, whose gradient goes to all that are as large in equal parts, as PyTorch's `amax` has it: the
 * mean of those elements, told apart by a function whose derivative is 0 everywhere.
 */
function largest(graph: Graph, x: Tensor, axes: readonly number[]): Tensor {
  const top = graph.add('reduce', [x], { kind: 'max', axes })[0]!;
  const below = unary(graph, binary(graph, 'sub', x, top), 'affine', 1e30, 1);
  const chosen = unary(graph, below, 'clip', 0, 1);
  const total = (value: Tensor): Tensor => graph.one('reduce', [value], { kind: 'sum', axes });
  // Minus infinity, as of masks, times 0 would be no number.
  const bounded = unary(graph, x, 'clip', -3.4e38, Infinity);
  return binary(graph, 'div', total(binary(graph, 'mul', bounded, chosen)), total(chosen));
}

function emitReduce(step: Step<'reduce'>, { graph, tensor }: EmitContext): Tensor {
  const { kind, axes } = step.attributes;
  const x = tensor(0);
  switch (kind) {
    case 'l2':
      return unary(graph, graph.one('reduce', [unary(graph, x, 'square')], { kind: 'sum', axes }), 'norm');
    case 'amin':
      return unary(graph, largest(graph, unary(graph, x, 'affine', -1, 0), axes), 'affine', -1, 0);
    case 'amax':
      return largest(graph, x, axes);
    case 'max':
      return graph.add('reduce', [x], { kind, axes })[0]!;
    case 'prod':
      return axes.reduce((value, axis) => {
        const parts = range(value.shape[axis]!).map((i) =>
          graph.one('slice', [value], {
            start: value.shape.map((_, at) => (at === axis ? i : 0)),
            step: value.shape.map(() => 1),
            size: value.shape.map((size, at) => (at === axis ? 1 : size)),
          }),
        );
        return parts.reduce((a, b) => binary(graph, 'mul', a, b));
      }, x);
    default: {
      // Means over whole images of channels have a kernel of their own.
      if (kind === 'mean' && x.shape.length === 4 && axes.join() === '2,3')
        return graph.one('adaptiveAvgPool2d', [x], { size: [1, 1] });
      return graph.one('reduce', [x], { kind, axes });
    }
  }
}

function emitSoftmax(step: Step<'softmax'>, { graph, tensor }: EmitContext): Tensor {
  const { axis, log } = step.attributes;
  return graph.one(log ? 'logSoftmax' : 'softmax', [tensor(0)], { axis });
}

function emitLayerNorm(step: Step<'layerNorm'>, { graph, tensor }: EmitContext): Tensor {
  const { axes, epsilon, rms } = step.attributes;
  const x = tensor(0);
  const last = axes.every((axis, i) => axis === x.shape.length - axes.length + i);
  // The op has an axis in front of those that it normalizes.
  const rows = axes[0] === 0 ? reshape(graph, x, [1, ...x.shape]) : x;
  const first = Math.max(axes[0]!, 1);
  let y = last
    ? reshape(graph, graph.add('normalize', [rows], { first, epsilon, center: !rms })[0]!, x.shape)
    : normalizeAxes(graph, x, axes, epsilon, rms);
  if (step.inputs.length > 1) y = binary(graph, 'mul', y, tensor(1));
  if (step.inputs.length > 2) y = binary(graph, 'add', y, tensor(2));
  return y;
}

/** (x - mean) / sqrt(variance + epsilon) over axes that are not the last ones. */
function normalizeAxes(graph: Graph, x: Tensor, axes: readonly number[], epsilon: number, rms: boolean): Tensor {
  const mean = (value: Tensor): Tensor => graph.one('reduce', [value], { kind: 'mean', axes });
  const centered = rms ? x : binary(graph, 'sub', x, mean(x));
  const variance = mean(unary(graph, centered, 'square'));
  const inverse = unary(graph, unary(graph, variance, 'affine', 1, epsilon), 'power', -0.5);
  return binary(graph, 'mul', centered, inverse);
}

function emitLinear(step: Step<'linear'>, { graph, tensor, shape }: EmitContext): Tensor {
  const x = tensor(0);
  const inner = x.shape.at(-1)!;
  const operands = step.inputs.slice(1).map((_, i) => tensor(i + 1));
  const flat = reshape(graph, x, [x.shape.reduce((product, size) => product * size, 1) / inner, inner]);
  const y = graph.one('linear', [flat, ...operands], {});
  // A head of another width is wider than the file says.
  return reshape(graph, y, [...shape(step.output).slice(0, -1), y.shape[1]!]);
}

function emitPad(step: Step<'pad'>, { graph, tensor }: EmitContext): Tensor {
  const { pads, mode, value, stride } = step.attributes;
  const x = tensor(0);
  const rank = x.shape.length;
  if (stride !== undefined) return graph.one('channelPad', [x], { before: pads[1]!, after: pads[5]!, stride });
  if (mode === 'constant')
    return graph.one('pad', [x], {
      before: pads.slice(0, rank),
      after: pads.slice(rank),
      between: new Array<number>(rank).fill(0),
      value: Math.max(-3.4028234663852886e38, Math.min(3.4028234663852886e38, value)),
    });
  return range(rank).reduce((current, axis) => {
    const [before, after] = [pads[axis]!, pads[axis + rank]!];
    if (before === 0 && after === 0) return current;
    const size = current.shape[axis]!;
    const rows = range(before + size + after).map((i) => [[padSource(i - before, size, mode), 1] as const]);
    return alongAxis(graph, current, axis, rows);
  }, x);
}

function emitResize(step: Step<'resize'>, { graph, tensor }: EmitContext): Tensor {
  const { how } = step.attributes;
  return how.axes.reduce((current, axis, i) => {
    const size = (step.inputs[0] as DataValue).shape[i]!;
    if (axis.output === size && axis.scale === 1) return current;
    return alongAxis(
      graph,
      current,
      i,
      range(axis.output).map((at) => resizeTaps(at, size, axis, how)),
    );
  }, tensor(0));
}

/** x / (bias + alpha / size * sum of the squares of neighboring channels)^beta. */
function emitLrn(step: Step<'lrn'>, { graph, tensor }: EmitContext): Tensor {
  const { size, alpha, beta, bias } = step.attributes;
  const x = tensor(0);
  const channels = x.shape[1]!;
  const rows = range(channels).map((c) => {
    const first = Math.max(0, c - Math.floor((size - 1) / 2));
    const last = Math.min(channels - 1, c + Math.ceil((size - 1) / 2));
    return range(last - first + 1).map((i) => [first + i, alpha / size] as const);
  });
  const sum = alongAxis(graph, unary(graph, x, 'square'), 1, rows);
  const factor = unary(graph, unary(graph, sum, 'affine', 1, bias), 'power', -beta);
  return binary(graph, 'mul', x, factor);
}

function emitConcat(step: Step<'concat'>, { graph, tensor, shape }: EmitContext): Tensor {
  const { axis } = step.attributes;
  const y = shape(step.output);
  const parts = step.inputs.map((input, i) => {
    const part = tensor(i);
    if (input.kind === 'data') return part;
    const full = y.map((size, at) => (at === axis ? part.shape[at]! : size));
    return part.shape.every((size, at) => size === full[at]) ? part : graph.one('expand', [part], { shape: full });
  });
  return graph.one('concat', parts, axis === 1 ? {} : { axis });
}

function emitPrelu(step: Step<'prelu'>, { graph, target, tensor }: EmitContext): Tensor {
  const x = tensor(0);
  const slope = (step.inputs[1] as { tensor: HostTensor }).tensor;
  const channels = x.shape[1]!;
  const given = target.constant(slope, [slope.data.length]);
  const slopes = slope.data.length === channels ? given : graph.one('expand', [given], { shape: [channels] });
  const found = target.activation(step as unknown as Step, x, 'prelu', { slopes });
  if (found !== undefined) return found;
  const shape = [slope.data.length, ...new Array<number>(Math.max(x.shape.length - 2, 0)).fill(1)];
  // max(x, 0) + slope min(x, 0)
  const negative = unary(graph, x, 'clip', -Infinity, 0);
  return binary(graph, 'add', unary(graph, x, 'relu'), binary(graph, 'mul', negative, target.constant(slope, shape)));
}

const emitters: { readonly [K in StepOp]: Emit<K> } = {
  unary: emitUnary,
  prelu: emitPrelu,
  binary: (step, { graph, tensor }) => {
    const [a, b] = [tensor(0), tensor(1)];
    const same = a.shape.length === b.shape.length && a.shape.every((size, axis) => size === b.shape[axis]);
    // The addition of residual blocks has an op of its own.
    if (step.attributes.kind === 'add' && same) return graph.one('add', [a, b], {});
    return binary(graph, step.attributes.kind, a, b);
  },
  conv: emitConv,
  convTranspose: emitConvTranspose,
  linear: emitLinear,
  matmul: (_step, { graph, tensor }) =>
    graph.one('matmul', [tensor(0), tensor(1)], { transposeA: false, transposeB: false }),
  batchNorm: (step, { target, tensor }) => target.batchNorm(step, tensor(0)),
  layerNorm: emitLayerNorm,
  maxPool: emitMaxPool,
  averagePool: emitAveragePool,
  reduce: emitReduce,
  softmax: emitSoftmax,
  transpose: (step, { graph, tensor }) => graph.one('transpose', [tensor(0)], { order: step.attributes.perm }),
  reshape: (step, { graph, tensor, shape }) => reshape(graph, tensor(0), shape(step.output)),
  slice: (step, { graph, tensor }) => {
    const x = tensor(0);
    const { cut } = step.attributes;
    const { batch } = step.output;
    return graph.one('slice', [x], {
      start: cut.map(({ start }) => start),
      step: cut.map((each) => each.step),
      size: cut.map(({ size }, axis) => (axis === batch ? x.shape[axis]! : size)),
    });
  },
  pad: emitPad,
  concat: emitConcat,
  gather: (step, { graph, tensor }) => {
    const { axis, indices } = step.attributes;
    return alongAxis(
      graph,
      tensor(0),
      axis,
      indices.map((index) => [[index, 1] as const]),
    );
  },
  expand: (step, { graph, tensor, shape }) => graph.one('expand', [tensor(0)], { shape: shape(step.output) }),
  resize: emitResize,
  lrn: emitLrn,
  preprocess: (step, { target, tensor }) => target.preprocess(step, tensor(0)),
};

/** The shape of a value for a batch `scale` times as large. */
export function scaledShape(value: DataValue, scale: number): number[] {
  // The engine has no tensors without axes.
  if (value.shape.length === 0) return [1];
  return value.shape.map((size, axis) => (axis === value.batch ? size * scale : size));
}

/** Builds one step and remembers its result. */
export function emitStep(step: Step, values: Map<DataValue, Tensor>, target: EmitTarget): Tensor {
  const context: EmitContext = {
    target,
    graph: target.graph,
    tensor: (index) => {
      const value = step.inputs[index] as Value;
      return value.kind === 'constant' ? target.constant(value.tensor) : values.get(value)!;
    },
    shape: (value) => scaledShape(value, target.scale),
  };
  const result = (emitters[step.op] as Emit<StepOp>)(step, context);
  values.set(step.output, result);
  return result;
}
