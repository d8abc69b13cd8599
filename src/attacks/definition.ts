import type { Graph } from '../graph/graph.js';
import type { LossKind, StepValue, Tensor } from '../graph/types.js';

/** The norm of the ball that perturbations stay in, taken per image over all its pixels. */
export type AttackNorm = 'linf' | 'l2' | 'l1';

/**
 * Objectives by the name the command line gives them: cross entropy, the same as float32 rounds its gradient in
 * PyTorch, margin, difference of logits ratio, minus the logit, cross entropy of logits divided by the lead of the
 * first over the second.
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
   * Random numbers of `shape`, whose first axis is the batch, uniform in [0, 1) or standard normal. They depend on the
   * seed, the image's sample id, `draw` and `stream` only.
   */
  random(shape: readonly number[], distribution: 'uniform' | 'normal', draw: StepValue, stream?: number): Tensor;
  /**
   * Of each image one of another class, [N, C, H, W], from the first 64 images of the run; zeros where there is none.
   */
  partner(draw: Draw): Tensor;
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

/** Where random numbers come from: a stream and the step that keys them. */
export interface RandomDraw {
  /** One of the attack's random streams, so that two draws of a step differ. */
  readonly stream: number;
  /** The counter of the draw: constant, or a column of the step table. */
  readonly step: StepValue;
}

/**
 * Random numbers of a transform: of `shape`, whose first axis is the batch; `which` tells several from each other,
 * 0 to 7.
 */
export interface Draw {
  (shape: readonly number[], distribution?: 'uniform' | 'normal', which?: number): Tensor;
  /** What keys its first numbers, for ops that draw by themselves. */
  readonly key?: RandomDraw;
}

/**
 * A map of the images between the point and the network, made of ops that have a backward. Its random numbers are drawn
 * by `stage.query`, which differs from copy to copy.
 */
export interface Transform {
  readonly name: string;
  /** How many transformed copies a gradient is the mean of; 1 without it. */
  readonly copies?: (parameters: Readonly<Record<string, number>>) => number;
  /** How many random draws the copies share, so many copies in turn one of them; by default each has its own. */
  readonly draws?: (parameters: Readonly<Record<string, number>>) => number;
  /** `copy` counts the copies from 0; `draw` gives random numbers. */
  readonly apply: (stage: StageContext, images: Tensor, copy: StepValue, draw: Draw) => Tensor;
  /**
   * What is done before each copy, in a segment of its own that may ask for a gradient; `apply` sees it through
   * {@link StageContext.state}. Costs a gradient.
   */
  readonly prepare?: (stage: StageContext, point: Tensor, draw: Draw) => void;
  /**
   * `result` takes the gradient with respect to the transformed images in place of those before, as some official code
   * does; transforms in front of it are differentiated all the same. Default `point`.
   */
  readonly gradientAt?: 'point' | 'result' | ((parameters: Readonly<Record<string, number>>) => 'point' | 'result');
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
  /** In place of the attack's steepest step. */
  readonly step?: StepStage;
  /** Norms that it has; all of them without it. */
  readonly norms?: readonly AttackNorm[];
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
  /** Whether it restarts as often as `restarts` says, or runs once; default false. */
  readonly restarts?: boolean;
  /** Whether it begins at the images of `start` where a run has them (`stage.origin`); default false. */
  readonly start?: boolean;
  /** Whether it can drive images towards given targets; default true. */
  readonly targeted?: boolean;
  /** Whether it follows the attack's `loss`, not a margin or such of its own; default false. */
  readonly climbsLoss?: boolean;
  /** The state that is 1 where an image is fooled, where nothing of an image changes after that. */
  readonly fooled?: string;
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
 * one program. To make a custom one, replace a stage: `{ ...attacks.pgd, name: 'mine', step: (stage, x, g) => ...
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
  /** Attack-specific options. */
  readonly parameters?: Readonly<Record<string, Parameter>>;
  /** In place of the stages below. */
  readonly plan?: AttackPlan;
  /**
   * The attack keeps to a ball of its own instead of [0, 1] and eps in pixels, by another convention; its final images
   * are tested for finiteness only.
   */
  readonly ownBall?: boolean;
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
  /** Further transforms after `transform`, in this order. */
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
