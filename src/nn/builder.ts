import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Pair, Padding, Region, StepValue, Tensor } from '../graph/types.js';
import { randomStreams } from '../random/philox.js';
import type { ActivationPosition, PositionKind } from '../rules/positions.js';
import type { ActivationKind } from '../graph/rule.js';
import { runningStatistics } from './runningStatistics.js';

/** What a stored tensor is for; decides its initial value and, in the golden values, its formula. */
export type ParameterKind = 'weight' | 'bias' | 'bn.weight' | 'bn.bias' | 'bn.running_mean' | 'bn.running_var';

/** A tensor of a model's state dict. */
export interface ParameterSpec {
  /** The PyTorch state-dict key. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: ParameterKind;
  /** Inputs of one output value; the bias of a layer has the fan-in of its weight. */
  readonly fanIn: number;
}

/** Hands out the tensor of a state-dict entry; learnable ones and buffers (running statistics) alike. */
export type ParameterSource = (spec: ParameterSpec) => Tensor;

const pair = (value: number | Pair): Pair => (typeof value === 'number' ? [value, value] : value);
const sides = (value: number | Pair | Padding): Padding =>
  typeof value === 'number'
    ? [value, value, value, value]
    : value.length === 2
      ? [value[0], value[1], value[0], value[1]]
      : value;

/** Geometry of a convolution; PyTorch's defaults. */
export interface ConvOptions {
  readonly stride?: number | Pair;
  readonly padding?: number | Pair | Padding;
  readonly dilation?: number | Pair;
  readonly groups?: number;
  readonly bias?: boolean;
}

/** Geometry of a pooling; the stride is the kernel's size unless given. */
export interface PoolOptions {
  /** Rows and columns between two windows; the size of the window unless given. */
  readonly stride?: number | Pair;
  /** Rows and columns added on each side, or [top, left, bottom, right]; default 0. */
  readonly padding?: number | Pair | Padding;
  /** Round the output size up instead of down; default false. */
  readonly ceilMode?: boolean;
}

/** Options of a batch norm. */
export interface BatchNormOptions {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
}

/** Where dropout takes its random numbers from; see `randomStreams`. */
export interface DropoutSource {
  /** u32 [N]: what identifies each sample of the batch. */
  readonly sampleIds: Tensor;
  readonly seed: StepValue;
  readonly step: StepValue;
}

/** How a network is to be built. */
export interface BuildMode {
  /** Batch norm uses batch statistics; dropout is on where there is a {@link dropout} source. */
  readonly training: boolean;
  /** Batch norm moves its running statistics (momentum 0.1, unbiased variance). */
  readonly updateStatistics?: boolean;
  readonly dropout?: DropoutSource;
}

/**
 * A residual branch: a part of the network with one input and one output, which is added to a shortcut or, in dense
 * blocks, appended to it.
 */
export interface Branch extends Region {
  readonly stage?: string;
  /** Number of its block within the stage, from 0. */
  readonly block?: number;
  /** Names of the activations inside. */
  readonly activations: readonly string[];
}

/**
 * Builds a network's forward pass out of PyTorch-named layers. Images are [N, C, H, W], vectors [N, F].
 * Every layer takes its module path first, then its input.
 */
export class NetBuilder {
  readonly graph: Graph;
  readonly mode: BuildMode;
  readonly activations: ActivationPosition[] = [];
  /** Residual branches in the order in which they end. */
  readonly branches: Branch[] = [];
  private readonly source: ParameterSource;
  private place: { readonly stage?: string; readonly block?: number; readonly kind: PositionKind } = { kind: 'conv' };

  /** The layer that {@link withOutputs} gives another width. */
  private widened: { readonly name: string; readonly outputs: number } | undefined;

  /** Elements per sample that dropout layers have drawn so far. */
  private dropped = 0;

  constructor(graph: Graph, source: ParameterSource, mode: BuildMode) {
    this.graph = graph;
    this.source = source;
    this.mode = mode;
  }

  /** Runs `body` with the activations inside it marked as belonging to a stage, a block, or a kind of position. */
  at<T>(place: { readonly stage?: string; readonly block?: number; readonly kind?: PositionKind }, body: () => T): T {
    const outer = this.place;
    this.place = { ...outer, ...place };
    try {
      return body();
    } finally {
      this.place = outer;
    }
  }

  /** Runs `body`; the convolution or linear layer of this name in it gets this many outputs, whatever it asks for. */
  withOutputs<T>(name: string, outputs: number, body: () => T): T {
    const outer = this.widened;
    this.widened = { name, outputs };
    try {
      return body();
    } finally {
      this.widened = outer;
    }
  }

  private outputsOf(name: string, asked: number): number {
    return this.widened?.name === name ? this.widened.outputs : asked;
  }

  /** 2-d convolution with weight `name.weight` [out, in/groups, k, k] and, unless `bias: false`, `name.bias`. */
  conv(name: string, x: Tensor, asked: number, kernel: number | Pair, options: ConvOptions = {}): Tensor {
    const outputs = this.outputsOf(name, asked);
    const [kh, kw] = pair(kernel);
    const groups = options.groups ?? 1;
    const channels = x.shape[1]!;
    check(
      channels % groups === 0 && outputs % groups === 0,
      'bad-shape',
      `${name}: ${groups} groups do not divide ${channels} -> ${outputs} channels`,
      name,
    );
    const inner = channels / groups;
    const fanIn = inner * kh * kw;
    const weight = this.parameter(`${name}.weight`, [outputs, inner, kh, kw], 'weight', fanIn);
    const bias = options.bias === false ? [] : [this.parameter(`${name}.bias`, [outputs], 'bias', fanIn)];
    const attrs = {
      stride: pair(options.stride ?? 1),
      padding: sides(options.padding ?? 0),
      dilation: pair(options.dilation ?? 1),
      groups,
    };
    return this.layer(name, () => this.graph.one('conv2d', [x, weight, ...bias], attrs));
  }

  /**
   * Fully connected layer: x [N, in] as [N, out] with weight `name.weight` [out, in] and, unless `bias` is false,
   * `name.bias` [out]. `asked` is the number of outputs.
   */
  linear(name: string, x: Tensor, asked: number, options: { readonly bias?: boolean } = {}): Tensor {
    const outputs = this.outputsOf(name, asked);
    const inputs = x.shape[1]!;
    const weight = this.parameter(`${name}.weight`, [outputs, inputs], 'weight', inputs);
    const bias = options.bias === false ? [] : [this.parameter(`${name}.bias`, [outputs], 'bias', inputs)];
    return this.layer(name, () => this.graph.one('linear', [x, weight, ...bias], {}));
  }

  /** ReLU, or ReLU6 with `kind: 'relu6'`, a position that backward rules may change; see {@link activation}. */
  relu(name: string, x: Tensor, options: { readonly kind?: ActivationKind; readonly index?: number } = {}): Tensor {
    return this.activation(name, x, options.kind ?? 'relu', options);
  }

  /**
   * An activation that backward rules may change; `values` are its parameters in order. `name` is the position's name
   * for rule selection, `index` what `from=<number>` compares with (by default its number among the network's
   * activations). A PReLU has one slope per channel, `name.weight` [C] unless given as `slopes`.
   */
  activation(
    name: string,
    x: Tensor,
    kind: ActivationKind,
    options: { readonly values?: readonly number[]; readonly index?: number; readonly slopes?: Tensor } = {},
  ): Tensor {
    this.activations.push({ name, index: options.index ?? this.activations.length, ...this.place, activation: kind });
    const channels = x.shape[1]!;
    const slopes =
      kind === 'prelu' ? [options.slopes ?? this.parameter(`${name}.weight`, [channels], 'bn.weight', channels)] : [];
    const values = options.values === undefined ? {} : { values: options.values };
    return this.layer(name, () => this.graph.one('activation', [x, ...slopes], { kind, mask: false, ...values }));
  }

  /**
   * Batch norm with `name.weight`, `name.bias` and the running statistics `name.running_mean` and `name.running_var`,
   * all [C]. In eval mode it is a per-channel line, derived from the weights in each run; in training mode it uses
   * the batch's statistics.
   */
  batchNorm(name: string, x: Tensor, options: BatchNormOptions = {}): Tensor {
    const channels = x.shape[1]!;
    const epsilon = options.epsilon ?? 1e-5;
    const entry = (suffix: string, kind: ParameterKind): Tensor =>
      this.parameter(`${name}.${suffix}`, [channels], kind, channels);
    const [gamma, beta] = [entry('weight', 'bn.weight'), entry('bias', 'bn.bias')];
    const [runningMean, runningVariance] = [
      entry('running_mean', 'bn.running_mean'),
      entry('running_var', 'bn.running_var'),
    ];
    return this.layer(name, () => {
      if (!this.mode.training) {
        const line = this.graph.add('batchNormScaleShift', [gamma, beta, runningMean, runningVariance], { epsilon });
        return this.graph.one('scaleShift', [x, ...line], {});
      }
      const [mean, variance, scale] = this.graph.add('batchNormStatistics', [x, gamma], { epsilon }) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      if (this.mode.updateStatistics === true) {
        const count = elementCount(x.shape) / channels;
        const scalars = [0.1, count / (count - 1)];
        this.graph.add('map', [mean, variance, runningMean, runningVariance], {
          fn: runningStatistics,
          scalars,
          targets: [2, 3],
        });
      }
      return this.graph.one('batchNormApply', [x, mean, scale, beta, gamma], {});
    });
  }

  /**
   * Sets a share `p` of the values to zero in training and scales the others by 1 / (1 - p); the identity in eval mode.
   */
  dropout(name: string, x: Tensor, p: number): Tensor {
    const source = this.mode.dropout;
    if (!this.mode.training || source === undefined || p === 0) return x;
    const firstElement = this.dropped;
    this.dropped += Math.ceil(elementCount(x.shape.slice(1)) / 4) * 4;
    const attrs = { p, stream: randomStreams.dropout, firstElement, seed: source.seed, step: source.step };
    return this.layer(name, () => this.graph.one('dropout', [x, source.sampleIds], attrs));
  }

  /** Log-probabilities [N, K] of logits [N, K]. */
  logSoftmax(name: string, x: Tensor): Tensor {
    return this.layer(name, () => this.graph.one('logSoftmax', [x], {}));
  }

  /** Images [N, C_i, H, W] of one size as [N, sum of C_i, H, W], one after the other along the channels. */
  concat(name: string, parts: readonly Tensor[]): Tensor {
    return this.layer(name, () => this.graph.one('concat', parts, {}));
  }

  /**
   * The shortcut without weights (option A of the residual networks): every stride-th pixel, the new channels zero,
   * half of them in front.
   */
  zeroPadShortcut(name: string, x: Tensor, outputs: number, stride: number | Pair): Tensor {
    const added = outputs - x.shape[1]!;
    check(
      added >= 0 && added % 2 === 0,
      'bad-shape',
      `${name}: cannot pad ${x.shape[1]} channels evenly to ${outputs}`,
      name,
    );
    return this.layer(name, () =>
      this.graph.one('channelPad', [x], { before: added / 2, after: added / 2, stride: pair(stride) }),
    );
  }

  /** Marks what `body` makes of `x` as a residual branch, for rules that act on whole branches. */
  branch(name: string, x: Tensor, body: (x: Tensor) => Tensor): Tensor {
    const { stage, block } = this.place;
    const first = this.activations.length;
    const output = body(x);
    const activations = this.activations.slice(first).map((activation) => activation.name);
    const branch = {
      name,
      ...(stage === undefined ? {} : { stage }),
      ...(block === undefined ? {} : { block }),
      activations,
      input: x,
      output,
    };
    this.branches.push(branch);
    this.graph.regions.push(branch);
    return output;
  }

  /**
   * Max pooling of x [N, C, H, W] over windows of `kernel` rows and columns; padding never wins, and of several largest
   * values the first in row-major order wins, as in PyTorch.
   */
  maxPool(name: string, x: Tensor, kernel: number | Pair, options: PoolOptions = {}): Tensor {
    return this.layer(name, () => this.graph.add('maxPool2d', [x], this.pool(kernel, options))[0]!);
  }

  /** Average pooling of x [N, C, H, W] over windows of `kernel`; padding counts as zeros, as PyTorch's default. */
  avgPool(name: string, x: Tensor, kernel: number | Pair, options: PoolOptions = {}): Tensor {
    return this.layer(name, () => this.graph.one('avgPool2d', [x], this.pool(kernel, options)));
  }

  /** Average pooling of [N, C, H, W] to `size` rows and columns, with the windows of PyTorch's `AdaptiveAvgPool2d`. */
  adaptiveAvgPool(name: string, x: Tensor, size: number | Pair): Tensor {
    return this.layer(name, () => this.graph.one('adaptiveAvgPool2d', [x], { size: pair(size) }));
  }

  /**
   * x * scale + shift per channel with fixed numbers: the normalization that a model's weights expect. With `order`,
   * result channel i is made of channel `order[i]`, for weights that take BGR.
   */
  preprocess(x: Tensor, scale: readonly number[], shift: readonly number[], order?: readonly number[]): Tensor {
    const constant = (suffix: string, values: readonly number[], shape?: readonly number[]): Tensor =>
      this.graph.constant(`preprocessing.${suffix}`, values, shape);
    return this.layer('preprocessing', () => {
      if (order === undefined)
        return this.graph.one('scaleShift', [x, constant('scale', scale), constant('shift', shift)], {});
      const matrix = order.flatMap((from, to) => order.map((_, channel) => (channel === from ? scale[to]! : 0)));
      const weight = constant('weight', matrix, [order.length, order.length, 1, 1]);
      const attrs = { stride: pair(1), padding: sides(0), dilation: pair(1), groups: 1 };
      return this.graph.one('conv2d', [x, weight, constant('shift', shift)], attrs);
    });
  }

  /** The mean of each channel: [N, C, H, W] as [N, C]. */
  globalAvgPool(name: string, x: Tensor): Tensor {
    return this.flatten(this.adaptiveAvgPool(name, x, 1));
  }

  /** a + b elementwise, of the same shape and without broadcasting: the addition of a residual block. */
  add(name: string, a: Tensor, b: Tensor): Tensor {
    return this.layer(name, () => this.graph.one('add', [a, b], {}));
  }

  /** [N, C, H, W] as [N, C * H * W], channel first. */
  flatten(x: Tensor): Tensor {
    const [n = 1, ...rest] = x.shape;
    return this.graph.one('reshape', [x], { shape: [n, rest.reduce((product, size) => product * size, 1)] });
  }

  /**
   * The state-dict entry `name` of this shape, for layers that this builder does not have. `kind` and `fanIn` decide
   * the initial values.
   */
  parameter(name: string, shape: readonly number[], kind: ParameterKind, fanIn: number): Tensor {
    const { widened } = this;
    const head = widened !== undefined && (name === `${widened.name}.weight` || name === `${widened.name}.bias`);
    return this.source({ name, shape: head ? [widened.outputs, ...shape.slice(1)] : shape, kind, fanIn });
  }

  /** Adds nodes in the scope of a layer. */
  layer<T>(name: string, body: () => T): T {
    return this.graph.scope({ layer: name, direction: 'forward' }, body);
  }

  private pool(kernel: number | Pair, options: PoolOptions) {
    return {
      kernel: pair(kernel),
      stride: pair(options.stride ?? kernel),
      padding: sides(options.padding ?? 0),
      ceilMode: options.ceilMode ?? false,
    };
  }
}
