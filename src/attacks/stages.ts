import type { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, LossKind, StepValue, Tensor } from '../graph/types.js';
import { randomStreams } from '../random/philox.js';
import { projectOnL1, sparseSigns } from './sparse.js';

/** The norm of the ball that perturbations stay in, taken per image over all its pixels. */
export type AttackNorm = 'linf' | 'l2' | 'l1';

/**
 * Objectives by the name the command line gives them: cross entropy, margin, difference of logits ratio, minus the
 * logit, cross entropy of logits divided by the lead of the first over the second.
 */
export type AttackLoss = 'ce' | 'ce-rounded' | 'margin' | 'dlr' | 'logit' | 'logit-margin';

/** The loss node's kind for each of the command line's names. */
export const lossKinds: Readonly<Record<AttackLoss, LossKind>> = {
  ce: 'crossEntropy',
  'ce-rounded': 'crossEntropyRounded',
  margin: 'margin',
  dlr: 'dlr',
  logit: 'logit',
  'logit-margin': 'logitMargin',
};

/** What one forward pass gives. */
export interface Forward {
  /** [N, K] */
  readonly logits: Tensor;
  /** The output of a layer, by its module path. Throws `unknown-layer`. */
  readonly outputOf: (layer: string) => Tensor;
}

/** What one forward and one backward pass give. */
export interface Gradient extends Forward {
  /** The objective [N] where the gradient was taken. */
  readonly loss: Tensor;
  /** Its gradient, shaped as the point. */
  readonly gradient: Tensor;
}

/** What the stages of an attack see while they emit their nodes. All tensors of images are [N, C, H, W], one batch. */
export interface StageContext {
  readonly graph: Graph;
  readonly norm: AttackNorm;
  readonly loss: AttackLoss;
  /** +1 where the objective is climbed, -1 where it is descended (targeted attacks). */
  readonly direction: 1 | -1;
  /** Factor of the old momentum, see `decay` of the attack's options. */
  readonly decay: number;
  /** Values of the attack's own options, see `parameters` of {@link AttackDefinition}. */
  readonly parameters: Readonly<Record<string, number>>;
  /** The clean images. */
  readonly clean: Tensor;
  /** Where attacks without a random start begin: the clean images unless the caller gave others. */
  readonly origin: Tensor;
  /** The true classes, u32 [N]. */
  readonly labels: Tensor;
  /** The clean images' logits [N, K]. */
  readonly cleanLogits: Tensor;
  /** The classes to reach, u32 [N]: given by the caller, or, in attacks that rank targets, written by the program. */
  readonly targets: Tensor | undefined;
  /** What the objective is about: the targets of a targeted attack, else the labels. */
  readonly aims: Tensor;
  /** u32 [N]: what random numbers are keyed by, so that they do not depend on the batch. */
  readonly sampleIds: Tensor;
  /**
   * Numbers that are data of the step table: the radius of the ball and the step size, in pixels; the seed; two
   * counters of random draws.
   */
  readonly radius: StepValue;
  readonly alpha: StepValue;
  readonly seed: StepValue;
  readonly draws: readonly [StepValue, StepValue];
  /** 1 at the first step of a restart, 0 at the others. */
  readonly first: StepValue;
  /**
   * Where one of the attack's windows ends just before a step, its length in steps; else 0. See `windows` of {@link
   * AttackDefinition}.
   */
  readonly window: StepValue;
  /** A whole number that no other row of the attack's step table has, to draw random numbers by. */
  readonly query: StepValue;
  /**
   * A tensor that keeps its value from step to step and is zero when a restart begins; the same one for the same name.
   */
  memory(name: string, shape: readonly number[]): Tensor;
  /** As {@link StageContext.memory}, but kept from restart to restart; it is `initial` when a batch begins. */
  state(name: string, shape: readonly number[], initial?: number): Tensor;
  /** Sets every element of a memory or state. */
  set(state: Tensor, value: number): void;
  /** Nodes of another segment of the program; see `plan` of {@link AttackDefinition}. */
  segment<T>(name: string, body: () => T): T;
  /** The output of a layer, by its module path, for images of the clean images' shape. */
  feature(images: Tensor, layer: string): Tensor;
  /** Runs the network on images. */
  forward(images: Tensor): Forward;
  /**
   * The gradient of the objective at any point, with respect to `target` (the point itself unless the point was made
   * of it), under the attack's backward rules.
   */
  gradientAt(point: Tensor, target?: Tensor, objective?: ObjectiveStage): Gradient;
  /**
   * Random numbers of `shape` `[N, ...]`, uniform in [0, 1) or standard normal. They depend on the seed, the image's
   * sample id, `draw` and `stream` only.
   */
  random(shape: readonly number[], distribution: 'uniform' | 'normal', draw: StepValue, stream?: number): Tensor;
  /** Logs the loss and margin of the iterate, and keeps the iterate where it is the best so far. */
  observe(iterate: Tensor, logits: Tensor, loss: Tensor): void;
}

/** Where the iterate of each restart begins; projected afterwards. */
export type StartStage = (stage: StageContext) => Tensor;
/** The point the network is queried at, made of the iterate by ops that have a backward (or the iterate itself). */
export type TransformStage = (stage: StageContext, iterate: Tensor) => Tensor;
/** logits [N, K] and labels or targets u32 [N] -> the output [N] of a `loss` node. */
export type ObjectiveStage = (stage: StageContext, logits: Tensor, labels: Tensor) => Tensor;
/**
 * Where the gradient starts from instead of the objective: a tensor of the network at the query point, and the
 * gradient there. `outputOf` finds layers' outputs.
 */
export type PullStage = (
  stage: StageContext,
  outputOf: (layer: string) => Tensor,
) => { readonly at: Tensor; readonly gradient: Tensor };
/** Changes the gradient with respect to the iterate (smoothing, for instance). */
export type GradientStage = (stage: StageContext, gradient: Tensor) => Tensor;
/** Mixes the gradient with those of earlier steps. */
export type MomentumStage = (stage: StageContext, gradient: Tensor) => Tensor;
/**
 * One step along a direction, away from the iterate; may leave the ball. `loss` [N] is the objective where the
 * gradient was taken.
 */
export type StepStage = (stage: StageContext, iterate: Tensor, gradient: Tensor, loss: Tensor) => Tensor;
/** Brings a point back into the ball and into [0, 1]. */
export type ProjectionStage = (stage: StageContext, point: Tensor) => Tensor;

/**
 * A map of the images between the point and the network, made of ops that have a backward. Its random numbers are drawn
 * by `stage.query`, which differs from copy to copy.
 */
export interface Transform {
  readonly name: string;
  /** How many transformed copies a gradient is the mean of; 1 without it. */
  readonly copies?: (parameters: Readonly<Record<string, number>>) => number;
  /** `copy` counts the copies from 0. */
  readonly apply: (stage: StageContext, images: Tensor, copy: StepValue) => Tensor;
  /**
   * `result` takes the gradient with respect to the transformed images in place of the point, as some official code
   * does. Default `point`.
   */
  readonly gradientAt?: 'point' | 'result';
  readonly parameters?: Readonly<Record<string, Parameter>>;
}

/**
 * A gradient made of gradients at several points a step. Each of these gradients is itself the mean over the copies of
 * the transforms, and all of them come from one network in the program: what follows are small segments around it.
 */
export interface Sampling {
  /** The point of a step that the samples lie around; the iterate without it. */
  readonly look?: (stage: StageContext, iterate: Tensor) => Tensor;
  /** Whether the gradient there is wanted, too. */
  readonly base: boolean;
  /** How many samples a step has. */
  readonly count: (parameters: Readonly<Record<string, number>>) => number;
  /**
   * The points of one sample, in turn; each sees the point looked at and the gradient at the point before it.
   * `stage.query` differs from point to point; `sample` counts from 0.
   */
  readonly points: readonly ((
    stage: StageContext,
    look: Tensor,
    sample: StepValue,
    before: { readonly point: Tensor; readonly gradient: Tensor } | undefined,
  ) => Tensor)[];
  /** What a sample adds to the sum, of the gradients at its points. */
  readonly collect: (stage: StageContext, gradients: readonly Tensor[]) => Tensor;
  /** The step's gradient; `mean` is the sum over samples divided by their number. */
  readonly combine: (
    stage: StageContext,
    found: { readonly base: Tensor | undefined; readonly mean: Tensor; readonly iterate: Tensor },
  ) => Tensor;
  readonly parameters?: Readonly<Record<string, Parameter>>;
}

/** Rows of the step table that differ from the base row, for one segment run once for each of them. */
export interface Phase {
  readonly segment: string;
  readonly rows: readonly Readonly<Record<string, number>>[];
}

/**
 * An attack that is no sequence of gradient steps: it emits segments of its own, which together are one program, and
 * says in which order they run. The result is what `iterate` holds at the end.
 */
export interface AttackPlan {
  /** Fields of the step table besides those of every attack. */
  readonly fields?: Readonly<Record<string, 'f32' | 'u32'>>;
  /**
   * Emits the segments by {@link StageContext.segment}. `iterate` holds the clean images when they begin to run.
   */
  readonly build: (stage: StageContext, iterate: Tensor) => void;
  /** Whether it can drive images towards given targets; default true. */
  readonly targeted?: boolean;
  /** The segments in running order, for one batch. */
  readonly phases: (settings: PlanSettings) => readonly Phase[];
  /** Gradients and forward passes of one image. */
  readonly cost: (settings: PlanSettings) => { readonly gradients: number; readonly forwards: number };
}

/** What a plan's phases may depend on. */
export interface PlanSettings {
  readonly norm: AttackNorm;
  readonly eps: number;
  readonly alpha: number;
  readonly steps: number;
  readonly restarts: number;
  readonly classes: number;
  readonly pixels: readonly [number, number, number];
  readonly parameters: Readonly<Record<string, number>>;
}

/** A number that an attack has of its own, such as how many neighbors it samples. */
export interface Parameter {
  readonly byDefault: number;
  readonly least: number;
  readonly most: number;
  readonly whole?: boolean;
  readonly help: string;
}

/**
 * An attack: what happens in one step, stage by stage. Each stage emits graph nodes, so that all steps together are
 * one program. To make one of one's own, replace a stage: `{ ...attacks.pgd, name: 'mine', step: (stage, x, g) => ...
 * }`.
 */
export interface AttackDefinition {
  readonly name: string;
  /** Where the attack is described. */
  readonly source?: string;
  /** Norms that the attack has; all of them without it. */
  readonly norms?: readonly AttackNorm[];
  /** What `keep` is unless the caller says otherwise; `last` without it. */
  readonly keep?: 'best' | 'last';
  /** The loss unless the caller gives one; `ce` without it. */
  readonly defaultLoss?: AttackLoss;
  /**
   * How many classes besides the label are tried as targets one after another, by falling logit of the clean image;
   * success is any wrong class all the same.
   */
  readonly rankedTargets?: number;
  /** The attack's own options. */
  readonly parameters?: Readonly<Record<string, Parameter>>;
  /** In place of the stages below. */
  readonly plan?: AttackPlan;
  /** Looks for the smallest perturbation; eps only says which perturbations count, and may be left out. */
  readonly minimal?: boolean;
  /** The number of steps where the attack has a fixed one (FGSM). */
  readonly steps?: number;
  /** The number of steps unless the caller gives one; 10 without it. */
  readonly defaultSteps?: number;
  /**
   * Lengths of the windows that a restart's steps are divided into, for attacks that look back now and then; data of
   * the step table.
   */
  readonly windows?: (steps: number, norm: AttackNorm) => readonly number[];
  /** The step size unless the caller gives one, in pixels. */
  readonly defaultAlpha: (eps: number, steps: number, norm: AttackNorm) => number;
  /** Whether restarts begin at random unless the caller says otherwise. */
  readonly randomStart: boolean;
  readonly start: { readonly random: StartStage; readonly fixed: StartStage };
  readonly transform: TransformStage;
  readonly objective: ObjectiveStage;
  /** Behind `transform`, in turn. */
  readonly transforms?: readonly Transform[];
  /** In place of the gradient at the iterate. */
  readonly sampling?: Sampling;
  /** For attacks that follow something else than their objective, such as an intermediate output. */
  readonly pull?: PullStage;
  readonly gradient: GradientStage;
  readonly momentum: MomentumStage;
  readonly step: StepStage;
  readonly projection: ProjectionStage;
}

/** Emits an elementwise computation with one new result. */
export function elementwiseMap(
  graph: Graph,
  fn: ElementwiseFunction,
  inputs: readonly Tensor[],
  scalars: readonly StepValue[] = [],
): Tensor {
  return graph.one('map', inputs, { fn, scalars, targets: ['new'] }, fn.name);
}

/** A coordinate of a vector scaled to length 1; 0 where the vector is zero, however short it else is. */
export const unit = (coordinate: number, length: number): number => (length > 0 ? coordinate / length : 0);

/** `value`, or NaN where `source` is not finite: sign and clamp would hide that. The shaders' `orNaN`. */
export const orNaN = (value: number, source: number): number => (Number.isFinite(source) ? value : NaN);

const clampNumber = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

const uniformInBall: ElementwiseFunction = {
  name: 'uniformStart',
  inputs: ['x', 'u'],
  scalars: ['radius'],
  results: ['x + (2.0 * u - 1.0) * radius'],
  reference: (x, u, radius) => [x! + (2 * u! - 1) * radius!],
};

const directionInBall: ElementwiseFunction = {
  name: 'directionStart',
  inputs: ['x', 'n', 'length', 'u'],
  scalars: ['radius', 'exponent'],
  results: ['x + select(0.0, n / length, length > 0.0) * radius * pow(u, exponent)'],
  reference: (x, n, length, u, radius, exponent) => [x! + unit(n!, length!) * radius! * u! ** exponent!],
};

const signedExponential: ElementwiseFunction = {
  name: 'signedExponential',
  inputs: ['u'],
  scalars: [],
  prelude: '  let w = 2.0 * u - 1.0;',
  results: ['select(-1.0, 1.0, w >= 0.0) * -log(max(1.0 - abs(w), 1e-7))'],
  reference: (u) => [(2 * u! - 1 >= 0 ? 1 : -1) * -Math.log(Math.max(1 - Math.abs(2 * u! - 1), 1e-7))],
};

const l1Start: ElementwiseFunction = {
  name: 'l1Start',
  inputs: ['x', 'e', 'length', 'u'],
  scalars: ['radius'],
  results: ['x + e / (length - log(1.0 - u + 1e-7)) * radius'],
  reference: (x, e, length, u, radius) => [x! + (e! / (length! - Math.log(1 - u! + 1e-7))) * radius!],
};

/**
 * Uniform in the ball around the clean image: each pixel uniform in [-eps, eps], or a Gaussian direction at the radius
 * eps U^(1/n) with n pixels (the radius law of a uniform point of an n-ball), or signed exponentials over their sum.
 */
export const randomStart: StartStage = ({ graph, norm, clean, sampleIds, radius, seed, draws }) => {
  const stream = randomStreams.randomStart;
  const draw = (distribution: 'uniform' | 'normal', shape: readonly number[], step: StepValue): Tensor =>
    graph.one('random', [sampleIds], { shape, distribution, stream, seed, step });
  if (norm === 'linf')
    return elementwiseMap(graph, uniformInBall, [clean, draw('uniform', clean.shape, draws[0])], [radius]);
  const pixels = elementCount(clean.shape.slice(1));
  if (norm === 'l1') {
    // Exponential magnitudes over their sum and one more: uniform in the simplex.
    const e = elementwiseMap(graph, signedExponential, [draw('uniform', clean.shape, draws[0])]);
    const total = graph.one('sampleNorm', [e], { norm: 'l1' });
    return elementwiseMap(graph, l1Start, [clean, e, total, draw('uniform', [clean.shape[0]!], draws[1])], [radius]);
  }
  const normal = draw('normal', clean.shape, draws[0]);
  const length = graph.one('sampleNorm', [normal], { norm: 'l2' });
  const share = draw('uniform', [clean.shape[0]!], draws[1]);
  return elementwiseMap(graph, directionInBall, [clean, normal, length, share], [radius, 1 / pixels]);
};

/** The clean images, or those the caller gave. */
export const fixedStart: StartStage = ({ origin }) => origin;

/** The network sees the iterate itself. */
export const identityTransform: TransformStage = (_stage, iterate) => iterate;

/**
 * The attack's loss per sample: cross entropy logsumexp(z) - z_y, margin max z_(i != y) - z_y, or DLR. Summed over
 * the batch.
 */
export const lossObjective: ObjectiveStage = ({ graph, loss, labels, targets }, logits, aims) =>
  loss === 'dlr' && targets !== undefined
    ? graph.one('loss', [logits, labels, targets], { kind: 'dlrTargeted' })
    : graph.one('loss', [logits, aims], { kind: lossKinds[loss] });

/** The gradient as it is. */
export const plainGradient: GradientStage = (_stage, gradient) => gradient;

/** No memory of earlier steps. */
export const noMomentum: MomentumStage = (_stage, gradient) => gradient;

const accumulate: ElementwiseFunction = {
  name: 'momentum',
  inputs: ['m', 'g', 'total'],
  scalars: ['decay', 'pixels'],
  // The mean may be below what float32 holds although its share of the total is not.
  results: ['orNaN(decay * m + select(0.0, g / total * pixels, total > 0.0), total)'],
  reference: (m, g, total, decay, pixels) => [orNaN(decay! * m! + unit(g!, total!) * pixels!, total!)],
};

/**
 * m <- decay m + g / mean|g| (Y. Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018), however small
 * the mean is; an all-zero gradient adds nothing.
 */
export const normalizedMomentum: MomentumStage = (stage, gradient) => {
  const { graph, decay } = stage;
  const memory = stage.memory('momentum', gradient.shape);
  const total = graph.one('sampleNorm', [gradient], { norm: 'l1' });
  const pixels = elementCount(gradient.shape.slice(1));
  graph.add('map', [memory, gradient, total], { fn: accumulate, scalars: [decay, pixels], targets: [0] });
  return memory;
};

const signStep: ElementwiseFunction = {
  name: 'signStep',
  inputs: ['x', 'g'],
  scalars: ['alpha', 'direction'],
  results: ['orNaN(x + direction * alpha * sign(g), g)'],
  reference: (x, g, alpha, direction) => [orNaN(x! + direction! * alpha! * Math.sign(g!), g!)],
};

const lengthStep: ElementwiseFunction = {
  name: 'lengthStep',
  inputs: ['x', 'g', 'length'],
  scalars: ['alpha', 'direction'],
  results: ['orNaN(x + direction * alpha * select(0.0, g / length, length > 0.0), length)'],
  reference: (x, g, length, alpha, direction) => [orNaN(x! + direction! * alpha! * unit(g!, length!), length!)],
};

/**
 * Steepest ascent in the attack's norm: alpha sign(g), sign(0) = 0; or alpha g / ||g||, a zero gradient moving nothing.
 * For L1 the step goes along the largest hundredth of the entries (F. Tramer, D. Boneh, "Adversarial training and
 * robustness for multiple perturbations", 2019).
 */
export const steepestStep: StepStage = (stage, iterate, gradient) => {
  const { graph, norm, alpha, direction } = stage;
  if (norm === 'linf') return elementwiseMap(graph, signStep, [iterate, gradient], [alpha, direction]);
  if (norm === 'l1') {
    const s = sparseSigns(stage, gradient, { share: 0.01 });
    const length = graph.one('sampleNorm', [s], { norm: 'l1' });
    return elementwiseMap(graph, lengthStep, [iterate, s, length], [alpha, direction]);
  }
  const length = graph.one('sampleNorm', [gradient], { norm: 'l2' });
  return elementwiseMap(graph, lengthStep, [iterate, gradient, length], [alpha, direction]);
};

const boxProjection: ElementwiseFunction = {
  name: 'boxProjection',
  inputs: ['v', 'x'],
  scalars: ['radius'],
  results: ['orNaN(min(max(v, max(x - radius, 0.0)), min(x + radius, 1.0)), v)'],
  reference: (v, x, radius) => [orNaN(clampNumber(v!, Math.max(x! - radius!, 0), Math.min(x! + radius!, 1)), v!)],
};

const difference: ElementwiseFunction = {
  name: 'difference',
  inputs: ['v', 'x'],
  scalars: [],
  results: ['v - x'],
  reference: (v, x) => [v! - x!],
};

const ballProjection: ElementwiseFunction = {
  name: 'ballProjection',
  inputs: ['d', 'x', 'length'],
  scalars: ['radius'],
  results: ['orNaN(clamp(x + d * select(1.0, radius / length, length > radius), 0.0, 1.0), length)'],
  reference: (d, x, length, radius) => [
    orNaN(clampNumber(x! + d! * (length! > radius! ? radius! / length! : 1), 0, 1), length!),
  ],
};

/**
 * Into the ball and the box: exact for L-infinity and L1; for L2 the difference is scaled back to the radius and then
 * clipped, which only moves pixels towards the clean image.
 */
export const projectOnBall: ProjectionStage = (stage, point) => {
  const { graph, norm, clean, radius } = stage;
  if (norm === 'linf') return elementwiseMap(graph, boxProjection, [point, clean], [radius]);
  if (norm === 'l1') return projectOnL1(stage, point, radius);
  const delta = elementwiseMap(graph, difference, [point, clean]);
  const length = graph.one('sampleNorm', [delta], { norm: 'l2' });
  return elementwiseMap(graph, ballProjection, [delta, clean, length], [radius]);
};
