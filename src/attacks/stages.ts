import { expectList, expectMembers, expectObject } from '../arguments.js';
import type { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, StepValue, Tensor } from '../graph/types.js';
import { randomStreams } from '../random/philox.js';
import { lossKinds } from './definition.js';
import { orNaN } from './numbers.js';
import type {
  AttackDefinition,
  GradientStage,
  MomentumStage,
  ObjectiveStage,
  ProjectionStage,
  RandomDraw,
  StartStage,
  StepStage,
  TransformStage,
} from './definition.js';
import { projectOnL1, sparseSigns } from './sparse.js';

export * from './definition.js';

/** Emits an elementwise computation with one new result. */
export function elementwiseMap(
  graph: Graph,
  fn: ElementwiseFunction,
  inputs: readonly Tensor[],
  scalars: readonly StepValue[] = [],
): Tensor {
  expectMembers(graph, 'graph', { one: 'function' });
  expectMembers(fn, 'fn', { name: 'text', inputs: 'list', results: 'list' });
  expectList(inputs, 'inputs');
  return graph.one('map', inputs, { fn, scalars, targets: ['new'] }, fn.name);
}

/** A coordinate of a vector scaled to length 1; 0 where the vector is zero, however short it else is. */
export const unit = (coordinate: number, length: number): number => (length > 0 ? coordinate / length : 0);

const clampNumber = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

const uniformInBall: ElementwiseFunction = {
  name: 'uniformStart',
  inputs: ['x', 'u'],
  scalars: ['radius'],
  results: ['x + (2.0 * u - 1.0) * radius'],
  reference: (x, u, radius) => [x! + (2 * u! - 1) * radius!],
};

/** The derivative by x of a function that adds something to x. */
const sameGradient = (name: string, inputs: readonly string[], scalars: readonly string[]): ElementwiseFunction => ({
  name: `${name}ByX`,
  inputs: ['g', ...inputs],
  scalars,
  results: ['g'],
  reference: (g) => [g!],
});

const directionInBall: ElementwiseFunction = {
  name: 'directionStart',
  inputs: ['x', 'n', 'length', 'u'],
  scalars: ['radius', 'exponent'],
  // The point moves with x; nothing asks for derivatives by random numbers.
  derivatives: [sameGradient('directionStart', ['x', 'n', 'length', 'u'], ['radius', 'exponent'])],
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
  derivatives: [sameGradient('l1Start', ['x', 'e', 'length', 'u'], ['radius'])],
  results: ['x + e / (length - log(1.0 - u + 1e-7)) * radius'],
  reference: (x, e, length, u, radius) => [x! + (e! / (length! - Math.log(1 - u! + 1e-7))) * radius!],
};

/**
 * Uniform in the ball around the clean image: each pixel uniform in [-eps, eps], or a Gaussian direction at the radius
 * eps U^(1/n) with n pixels (the radius law of a uniform point of an n-ball), or signed exponentials over their sum.
 */
export const randomStart: StartStage = (stage) => {
  const stream = randomStreams.randomStart;
  return pointInBall(stage, stage.clean, [
    { stream, step: stage.draws[0] },
    { stream, step: stage.draws[1] },
  ]);
};

/** A uniform point of the ball around `clean`, as {@link randomStart} draws it: pixels first, then the length. */
export function pointInBall(
  {
    graph,
    norm,
    sampleIds,
    radius,
    seed,
  }: Pick<Parameters<StartStage>[0], 'graph' | 'norm' | 'sampleIds' | 'radius' | 'seed'>,
  clean: Tensor,
  draws: readonly [RandomDraw, RandomDraw],
): Tensor {
  const draw = (distribution: 'uniform' | 'normal', shape: readonly number[], { stream, step }: RandomDraw): Tensor =>
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
}

/** The clean images, or those the caller gave. */
export const fixedStart: StartStage = ({ origin }) => origin;

/** The network sees the iterate itself. */
export const identityTransform: TransformStage = (_stage, iterate) => iterate;

/** Whether nothing lies between a point and the network. */
export function queriesPoint(definition: AttackDefinition): boolean {
  expectObject(definition, 'definition');
  const { transform, transforms = [] } = definition;
  return transforms.length === 0 && transform === identityTransform;
}

/**
 * The attack's loss per sample, such as cross entropy logsumexp(z) - z_y, margin max z_(i != y) - z_y, or DLR. Summed
 * over the batch.
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
