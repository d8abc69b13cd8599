import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { Pair, Padding, Tensor } from '../graph/types.js';
import type { ActivationPosition, PositionKind } from '../rules/positions.js';
import type { ActivationKind } from '../rules/types.js';

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
  typeof value === 'number' ? [value, value, value, value] : value.length === 2 ? [value[0], value[1], value[0], value[1]] : value;

export interface ConvOptions {
  readonly stride?: number | Pair;
  readonly padding?: number | Pair | Padding;
  readonly dilation?: number | Pair;
  readonly groups?: number;
  readonly bias?: boolean;
}

export interface PoolOptions {
  readonly stride?: number | Pair;
  readonly padding?: number | Pair | Padding;
  readonly ceilMode?: boolean;
}

/**
 * Builds a network's forward pass out of PyTorch-named layers. Images are [N, C, H, W], vectors [N, F].
 * Every layer takes its module path first, then its input.
 */
export class NetBuilder {
  readonly graph: Graph;
  /** Whether batch norm uses batch statistics and dropout is on. */
  readonly training: boolean;
  readonly activations: ActivationPosition[] = [];
  private readonly source: ParameterSource;
  private place: { readonly stage?: string; readonly block?: number; readonly kind: PositionKind } = { kind: 'conv' };

  constructor(graph: Graph, source: ParameterSource, training: boolean) {
    this.graph = graph;
    this.source = source;
    this.training = training;
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

  /** 2-d convolution with weight `name.weight` [out, in/groups, k, k] and, unless `bias: false`, `name.bias`. */
  conv(name: string, x: Tensor, outputs: number, kernel: number | Pair, options: ConvOptions = {}): Tensor {
    const [kh, kw] = pair(kernel);
    const groups = options.groups ?? 1;
    const channels = x.shape[1]!;
    check(channels % groups === 0 && outputs % groups === 0, 'bad-shape', `${name}: ${groups} groups do not divide ${channels} -> ${outputs} channels`, name);
    const inner = channels / groups;
    const fanIn = inner * kh * kw;
    const weight = this.parameter(`${name}.weight`, [outputs, inner, kh, kw], 'weight', fanIn);
    const bias = options.bias === false ? [] : [this.parameter(`${name}.bias`, [outputs], 'bias', fanIn)];
    const attrs = { stride: pair(options.stride ?? 1), padding: sides(options.padding ?? 0), dilation: pair(options.dilation ?? 1), groups };
    return this.layer(name, () => this.graph.one('conv2d', [x, weight, ...bias], attrs));
  }

  /** Fully connected layer with weight `name.weight` [out, in] and `name.bias`. */
  linear(name: string, x: Tensor, outputs: number, options: { readonly bias?: boolean } = {}): Tensor {
    const inputs = x.shape[1]!;
    const weight = this.parameter(`${name}.weight`, [outputs, inputs], 'weight', inputs);
    const bias = options.bias === false ? [] : [this.parameter(`${name}.bias`, [outputs], 'bias', inputs)];
    return this.layer(name, () => this.graph.one('linear', [x, weight, ...bias], {}));
  }

  /**
   * ReLU or ReLU6; `name` is the position's name for rule selection, `index` what `from=<number>` compares with
   * (by default its number among the network's activations).
   */
  relu(name: string, x: Tensor, options: { readonly kind?: ActivationKind; readonly index?: number } = {}): Tensor {
    const kind = options.kind ?? 'relu';
    this.activations.push({ name, index: options.index ?? this.activations.length, ...this.place, activation: kind });
    return this.layer(name, () => this.graph.one('relu', [x], { kind, mask: false }));
  }

  maxPool(name: string, x: Tensor, kernel: number | Pair, options: PoolOptions = {}): Tensor {
    return this.layer(name, () => this.graph.add('maxPool2d', [x], this.pool(kernel, options))[0]!);
  }

  avgPool(name: string, x: Tensor, kernel: number | Pair, options: PoolOptions = {}): Tensor {
    return this.layer(name, () => this.graph.one('avgPool2d', [x], this.pool(kernel, options)));
  }

  adaptiveAvgPool(name: string, x: Tensor, size: number | Pair): Tensor {
    return this.layer(name, () => this.graph.one('adaptiveAvgPool2d', [x], { size: pair(size) }));
  }

  /** x * scale + shift per channel with fixed numbers: the normalisation that a model's weights expect. */
  preprocess(x: Tensor, scale: readonly number[], shift: readonly number[]): Tensor {
    return this.layer('preprocessing', () => {
      const tensors = [this.graph.constant('preprocessing.scale', scale), this.graph.constant('preprocessing.shift', shift)];
      return this.graph.one('scaleShift', [x, ...tensors], {});
    });
  }

  add(name: string, a: Tensor, b: Tensor): Tensor {
    return this.layer(name, () => this.graph.one('add', [a, b], {}));
  }

  /** [N, C, H, W] as [N, C * H * W], channel first. */
  flatten(x: Tensor): Tensor {
    const [n = 1, ...rest] = x.shape;
    return this.graph.one('reshape', [x], { shape: [n, rest.reduce((product, size) => product * size, 1)] });
  }

  /** The state-dict entry `name`, for layers this builder does not have. */
  parameter(name: string, shape: readonly number[], kind: ParameterKind, fanIn: number): Tensor {
    return this.source({ name, shape, kind, fanIn });
  }

  /** Adds nodes in the scope of a layer. */
  layer<T>(name: string, body: () => T): T {
    return this.graph.scope({ layer: name, direction: 'forward' }, body);
  }

  private pool(kernel: number | Pair, options: PoolOptions) {
    return { kernel: pair(kernel), stride: pair(options.stride ?? kernel), padding: sides(options.padding ?? 0), ceilMode: options.ceilMode ?? false };
  }
}
