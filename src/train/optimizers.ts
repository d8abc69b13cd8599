import { expectFields, expectFloat32Number } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';

/** The flat tensors an optimizer works on: all of the same length, one element per learnable number. */
export interface OptimizerTensors {
  /** Overwritten with the new parameters. */
  readonly parameters: Tensor;
  /** Gradients of the mean loss of the batch. */
  readonly gradients: Tensor;
  /** One tensor per entry of {@link Optimizer.states}, zero before the first step, to be overwritten. */
  readonly states: readonly Tensor[];
}

/**
 * How parameters follow from gradients. The built-in ones are {@link sgd}, {@link adam} and {@link adamw}; an
 * optimizer of one's own is an object of this type. `emit` adds nodes once, when the step is compiled; whatever
 * changes from step to step (the learning rate, bias corrections) comes through `fields`, so that a schedule never
 * compiles anything.
 */
export interface Optimizer {
  /** Such as `sgd`; part of the settings that a checkpoint must agree with. */
  readonly name: string;
  /** Learning rate before any schedule. */
  readonly lr: number;
  /** The other settings by name, for reports and checkpoints. */
  readonly settings: Readonly<Record<string, number | boolean>>;
  /** Names of the states it keeps, such as `momentum_buffer`. */
  readonly states: readonly string[];
  /**
   * Step-table fields of a step. `step` counts from 1; `lr` is the rate that the schedule gives. Every step must have
   * the same field names.
   */
  fields(step: number, lr: number): Readonly<Record<string, number>>;
  /** Adds the nodes of the update; a node reads a field as `{ step: name }`. */
  emit(graph: Graph, tensors: OptimizerTensors): void;
}

/** Options of {@link sgd}. */
export interface SgdOptions {
  /** Learning rate, above 0. */
  readonly lr: number;
  /** 0 (default) up to, not including, 1. */
  readonly momentum?: number;
  /** Nesterov's form; needs momentum. */
  readonly nesterov?: boolean;
  /** L2 penalty added to the gradient, at least 0; on all parameters. */
  readonly weightDecay?: number;
}

/** Options of {@link adam} and {@link adamw}. */
export interface AdamOptions {
  /** Learning rate, above 0; 0.001 unless given. */
  readonly lr?: number;
  /** Decay rates of the two moments, each 0 up to, not including, 1; [0.9, 0.999] unless given. */
  readonly betas?: readonly [number, number];
  /** Added to the denominator, above 0; 1e-8 unless given. */
  readonly eps?: number;
  /** At least 0, on all parameters; 0 for adam and 0.01 for adamw unless given. */
  readonly weightDecay?: number;
}

const sgdFields: FieldNames<SgdOptions> = { lr: true, momentum: true, nesterov: 'flag', weightDecay: true };
const adamFields: FieldNames<AdamOptions> = { lr: true, betas: true, eps: true, weightDecay: true };

const belowOne = (value: number): boolean => value >= 0 && value < 1;

function checkCommon(lr: number, weightDecay: number): void {
  expectFloat32Number(lr, 'lr', (value) => value > 0, 'a finite number above 0');
  expectFloat32Number(weightDecay, 'weightDecay', (value) => value >= 0, 'a finite number of at least 0');
}

/** One dispatch over the flat stores: inputs w, g, states; results w and the states. */
function update(graph: Graph, tensors: OptimizerTensors, fn: ElementwiseFunction, scalars: readonly StepValue[]): void {
  const { parameters, gradients, states } = tensors;
  graph.add('map', [parameters, gradients, ...states], {
    fn,
    scalars,
    targets: [0, ...states.map((_, index) => index + 2)],
  });
}

/**
 * Stochastic gradient descent as in PyTorch (`torch.optim.SGD`): g' = g + weightDecay w; with momentum mu, v = mu v +
 * g' (the first step takes v = g') and the step is v, or g' + mu v with Nesterov (I. Sutskever et al., "On the
 * importance of initialization and momentum in deep learning", ICML 2013); w = w - lr step. All parameters have the
 * same `lr` and `weightDecay`; a schedule changes `lr` from epoch to epoch.
 *
 * @param options `lr` above 0; `momentum` in [0, 1), default 0; `nesterov` default false; `weightDecay` at least 0,
 * default 0; all finite in float32
 * @throws LinbpError `bad-range`; `unknown-option`; `bad-argument` for Nesterov without momentum
 */
export function sgd(options: SgdOptions): Optimizer {
  expectFields(options, sgdFields);
  const { lr, momentum = 0, nesterov = false, weightDecay = 0 } = options;
  checkCommon(lr, weightDecay);
  expectFloat32Number(momentum, 'momentum', belowOne, 'at least 0 and below 1');
  check(!nesterov || momentum > 0, 'bad-argument', 'nesterov needs a momentum above 0', 'nesterov');
  const plain: ElementwiseFunction = {
    name: 'sgd',
    inputs: ['w', 'g'],
    scalars: ['lr', 'decay'],
    results: ['w - lr * (g + decay * w)'],
    reference: (w, g, rate, decay) => [w! - rate! * (g! + decay! * w!)],
  };
  const withMomentum: ElementwiseFunction = {
    name: nesterov ? 'sgd nesterov' : 'sgd momentum',
    inputs: ['w', 'g', 'v'],
    scalars: ['lr', 'decay', 'mu'],
    prelude: 'let d = g + decay * w;\nlet next = mu * v + d;',
    results: [nesterov ? 'w - lr * (d + mu * next)' : 'w - lr * next', 'next'],
    reference: (w, g, v, rate, decay, mu) => {
      const d = g! + decay! * w!;
      const next = mu! * v! + d;
      return [w! - rate! * (nesterov ? d + mu! * next : next), next];
    },
  };
  return {
    name: 'sgd',
    lr,
    settings: { momentum, nesterov, weightDecay },
    states: momentum === 0 ? [] : ['momentum_buffer'],
    fields: (_step, rate) => ({ lr: rate }),
    emit(graph, tensors) {
      if (momentum === 0) update(graph, tensors, plain, [{ step: 'lr' }, weightDecay]);
      else update(graph, tensors, withMomentum, [{ step: 'lr' }, weightDecay, momentum]);
    },
  };
}

/** Both forms of Adam; `decoupled` takes the decay out of the gradient. */
function adamOptimizer(name: string, options: AdamOptions, decoupled: boolean): Optimizer {
  expectFields(options, adamFields);
  const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = decoupled ? 0.01 : 0 } = options;
  checkCommon(lr, weightDecay);
  for (const [index, beta] of betas.entries())
    expectFloat32Number(beta, `betas[${index}]`, belowOne, 'at least 0 and below 1');
  expectFloat32Number(eps, 'eps', (value) => value > 0, 'a finite number above 0');
  const [beta1, beta2] = betas;
  const fn: ElementwiseFunction = {
    name,
    inputs: ['w', 'g', 'm', 'v'],
    // The complements are scalars of their own: 1 - 0.999 in float32 would be off by 5e-5 of its value.
    scalars: ['rate', 'rootCorrection', 'shrink', 'decay', 'beta1', 'rest1', 'beta2', 'rest2', 'eps'],
    prelude: 'let d = g + decay * w;\nlet first = beta1 * m + rest1 * d;\nlet second = beta2 * v + rest2 * d * d;',
    results: ['w - shrink * w - rate * first / (sqrt(second) * rootCorrection + eps)', 'first', 'second'],
    reference: (w, g, m, v, rate, rootCorrection, shrink, decay, b1, rest1, b2, rest2, e) => {
      const d = g! + decay! * w!;
      const first = b1! * m! + rest1! * d;
      const second = b2! * v! + rest2! * d * d;
      return [w! - shrink! * w! - (rate! * first) / (Math.sqrt(second) * rootCorrection! + e!), first, second];
    },
  };
  const scalars: StepValue[] = [
    { step: 'rate' },
    { step: 'rootCorrection' },
    { step: 'shrink' },
    decoupled ? 0 : weightDecay,
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    eps,
  ];
  return {
    name,
    lr,
    settings: { beta1, beta2, eps, weightDecay },
    states: ['exp_avg', 'exp_avg_sq'],
    fields: (step, rate) => ({
      rate: rate / (1 - beta1 ** step),
      rootCorrection: 1 / Math.sqrt(1 - beta2 ** step),
      shrink: decoupled ? rate * weightDecay : 0,
    }),
    emit: (graph, tensors) => update(graph, tensors, fn, scalars),
  };
}

/**
 * Adam as in PyTorch (`torch.optim.Adam`; D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015):
 * the decay is added to the gradient; eps is added after the bias-corrected root.
 *
 * @param options `lr` above 0, default 0.001; `betas` in [0, 1), default [0.9, 0.999]; `eps` above 0, default 1e-8;
 * `weightDecay` at least 0, default 0; all finite in float32
 * @throws LinbpError `bad-range`; `unknown-option`
 */
export function adam(options: AdamOptions = {}): Optimizer {
  return adamOptimizer('adam', options, false);
}

/**
 * Adam with decoupled weight decay as in PyTorch (`torch.optim.AdamW`; I. Loshchilov, F. Hutter, ICLR 2019): w = w -
 * lr weightDecay w before Adam's step ("Decoupled weight decay regularization").
 *
 * @param options as {@link adam}, but `weightDecay` is 0.01 unless given
 * @throws LinbpError `bad-range`; `unknown-option`
 */
export function adamw(options: AdamOptions = {}): Optimizer {
  return adamOptimizer('adamw', options, true);
}
