import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { randomStreams } from '../random/philox.js';
import { sparseSigns } from './sparse.js';
import { orNaN } from './numbers.js';
import { elementwiseMap, projectOnBall, unit } from './stages.js';
import type { AttackNorm, StageContext, StartStage, StepStage } from './stages.js';

/*
 * APGD, "auto-PGD": F. Croce, M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
 * parameter-free attacks", ICML 2020, algorithm 1 and section 3. Everything is kept per image: the step size, the
 * windows' counters, the best point.
 */

/** Share of the step that is new; the rest repeats the last one. The paper's alpha. */
const freshShare = 0.75;
/** A window in which at most this share of the steps raised the loss ends with a halved step size. The paper's rho. */
const enoughIncreases = 0.75;

/**
 * Lengths of APGD's windows, at each end of which step sizes may be halved: the first takes 0.22 of the steps, each
 * next one 0.03 of the steps less, but never under 0.06 of them; all rounded down, and at least 1 (Croce and Hein,
 * section 3.1, in steps as their code counts them); with an L1 ball all take 0.04. They cover at least `steps` steps;
 * the last may end after them.
 */
export function adaptiveWindows(steps: number, norm: AttackNorm = 'linf'): number[] {
  const share = (part: number): number => Math.max(Math.floor(part * steps), 1);
  const [first, shorter, least] = norm === 'l1' ? [share(0.04), 0, 1] : [share(0.22), share(0.03), share(0.06)];
  const windows: number[] = [];
  let length = first;
  for (let covered = 0; covered < steps; covered += windows.at(-1)!) {
    windows.push(length);
    length = Math.max(length - shorter, least);
  }
  return windows;
}

const edgeStart: ElementwiseFunction = {
  name: 'edgeStart',
  inputs: ['x', 't', 'length'],
  scalars: ['radius'],
  results: ['x + select(0.0, t / length, length > 0.0) * radius'],
  reference: (x, t, length, radius) => [x! + unit(t!, length!) * radius!],
};

const symmetric: ElementwiseFunction = {
  name: 'symmetric',
  inputs: ['u'],
  scalars: [],
  results: ['2.0 * u - 1.0'],
  reference: (u) => [2 * u! - 1],
};

/**
 * A random point on the edge of the ball: x + eps t / max|t| with t uniform in [-1, 1], or x + eps t / ||t|| with t
 * Gaussian (the start of Croce and Hein's code; the paper leaves it open).
 */
export const edgeOfBallStart: StartStage = ({ graph, norm, clean, sampleIds, radius, seed, draws }) => {
  // With an L1 ball the code projects x + t with t Gaussian.
  const distribution = norm === 'linf' ? 'uniform' : 'normal';
  const drawn = graph.one('random', [sampleIds], {
    shape: clean.shape,
    distribution,
    stream: randomStreams.randomStart,
    seed,
    step: draws[0],
  });
  if (norm === 'l1') return graph.one('add', [clean, drawn], {});
  const t = norm === 'linf' ? elementwiseMap(graph, symmetric, [drawn]) : drawn;
  return elementwiseMap(graph, edgeStart, [clean, t, graph.one('sampleNorm', [t], { norm })], [radius]);
};

const countIncreases: ElementwiseFunction = {
  name: 'countIncreases',
  inputs: ['bestGain', 'lastGain', 'increases', 'loss'],
  scalars: ['direction', 'first'],
  prelude: `  let gain = direction * loss;
  let better = first > 0.5 || gain > bestGain;`,
  results: [
    'select(bestGain, gain, better)',
    // The first step of the first window is compared with zero, as in the code.
    'select(gain, 0.0, first > 0.5)',
    'select(increases + select(0.0, 1.0, gain > lastGain), 0.0, first > 0.5)',
    'select(0.0, 1.0, better)',
  ],
  reference: (bestGain, lastGain, increases, loss, direction, first) => {
    const gain = direction! * loss!;
    const better = first! > 0.5 || gain > bestGain!;
    return [
      better ? gain : bestGain!,
      first! > 0.5 ? 0 : gain,
      first! > 0.5 ? 0 : increases! + (gain > lastGain! ? 1 : 0),
      better ? 1 : 0,
    ];
  },
};

const endWindow: ElementwiseFunction = {
  name: 'endWindow',
  inputs: ['share', 'halved', 'checkedGain', 'increases', 'bestGain'],
  scalars: ['first', 'window', 'enough'],
  prelude: `  let begins = first > 0.5;
  let ends = window > 0.5;
  let halve = ends && (increases <= enough * window || (halved < 0.5 && checkedGain >= bestGain));`,
  results: [
    'select(select(share, 0.5 * share, halve), 1.0, begins)',
    // The first window has none before it that could have gone without halving.
    'select(select(halved, select(0.0, 1.0, halve), ends), 1.0, begins)',
    'select(checkedGain, bestGain, begins || ends)',
    'select(increases, 0.0, ends)',
    'select(0.0, 1.0, halve)',
  ],
  reference: (share, halved, checkedGain, increases, bestGain, first, window, enough) => {
    const [begins, ends] = [first! > 0.5, window! > 0.5];
    const halve = ends && (increases! <= enough! * window! || (halved! < 0.5 && checkedGain! >= bestGain!));
    return [
      begins ? 1 : halve ? share! / 2 : share!,
      begins ? 1 : ends ? Number(halve) : halved!,
      begins || ends ? bestGain! : checkedGain!,
      ends ? 0 : increases!,
      Number(halve),
    ];
  },
};

const returnToBest: ElementwiseFunction = {
  name: 'returnToBest',
  inputs: ['bestPoint', 'bestGradient', 'x', 'g', 'better', 'halve'],
  scalars: [],
  prelude: `  let point = select(bestPoint, x, better > 0.5);
  let slope = select(bestGradient, g, better > 0.5);`,
  results: ['point', 'slope', 'select(x, point, halve > 0.5)', 'select(g, slope, halve > 0.5)'],
  reference: (bestPoint, bestGradient, x, g, better, halve) => {
    const [point, slope] = better! > 0.5 ? [x!, g!] : [bestPoint!, bestGradient!];
    return [point, slope, halve! > 0.5 ? point : x!, halve! > 0.5 ? slope : g!];
  },
};

const signMove: ElementwiseFunction = {
  name: 'signMove',
  inputs: ['x', 'g', 'share'],
  scalars: ['alpha', 'direction'],
  results: ['orNaN(x + direction * alpha * share * sign(g), g)'],
  reference: (x, g, share, alpha, direction) => [orNaN(x! + direction! * alpha! * share! * Math.sign(g!), g!)],
};

/**
 * What the code of Croce and Hein adds to the length of a gradient before it divides by it. DLR's gradient, which no
 * scale of the logits changes, is as short as this only where the label is third, and steps are shorter there. Other
 * losses have short gradients where the network is sure, or its logits are small: they take whole steps here.
 */
const addedLength = 1e-12;

const lengthMove: ElementwiseFunction = {
  name: 'lengthMove',
  inputs: ['x', 'g', 'share', 'length'],
  scalars: ['alpha', 'direction', 'added'],
  results: ['orNaN(x + direction * alpha * share * select(0.0, g / (length + added), length > 0.0), length)'],
  reference: (x, g, share, length, alpha, direction, added) => [
    orNaN(x! + direction! * alpha! * share! * (length! > 0 ? g! / (length! + added!) : 0), length!),
  ],
};

const mixWithLast: ElementwiseFunction = {
  name: 'mixWithLast',
  inputs: ['previous', 'x', 'v'],
  scalars: ['first', 'fresh'],
  prelude: '  let part = select(fresh, 1.0, first > 0.5);',
  results: ['x', 'x + part * (v - x) + (1.0 - part) * (x - previous)'],
  reference: (previous, x, v, first, fresh) => {
    const part = first! > 0.5 ? 1 : fresh!;
    return [x!, x! + part * (v! - x!) + (1 - part) * (x! - previous!)];
  },
};

/**
 * One step of APGD. With v = P(x_k + eta s(g_k)), s the sign or the direction of the gradient and P the projection,
 *
 *     x_(k+1) = P(x_k + a (v - x_k) + (1 - a) (x_k - x_(k-1))),  a = 0.75, at the first step 1.
 *
 * At the end of a window an image's eta is halved, and x_k replaced by its best point so far (with the gradient found
 * there), if the loss rose in at most 0.75 of the window's steps, or if eta was not halved at the last window's end
 * and the best loss has not risen since (Croce and Hein, conditions 1 and 2; the paper's condition 1 has `<`, its code
 * `<=` as here). As in their code the first iterate after a return is compared with the one that was given up, and in
 * the first window the first step counts if its loss is above zero (in the paper: above that of the start).
 *
 * With an L1 ball (F. Croce, M. Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers",
 * 2021) see `sparseStep`.
 */
export const adaptiveStep: StepStage = (stage, iterate, gradient, loss) => {
  const { graph, norm, direction, alpha, first, window } = stage;
  const perImage = (name: string): Tensor => stage.memory(name, [iterate.shape[0]!]);
  const perPixel = (name: string): Tensor => stage.memory(name, iterate.shape);
  const [bestGain, lastGain, increases] = [perImage('bestGain'), perImage('lastGain'), perImage('increases')];
  const [better] = graph.add('map', [bestGain, lastGain, increases, loss], {
    fn: countIncreases,
    scalars: [direction, first],
    targets: [0, 1, 2, 'new'],
  });
  if (norm === 'l1') return sparseStep(stage, iterate, gradient, better!);
  const share = perImage('stepShare');
  const [halve] = graph.add('map', [share, perImage('halved'), perImage('checkedGain'), increases, bestGain], {
    fn: endWindow,
    scalars: [first, window, enoughIncreases],
    targets: [0, 1, 2, 3, 'new'],
  });
  const [x, g] = graph.add(
    'map',
    [perPixel('bestPoint'), perPixel('bestGradient'), iterate, gradient, better!, halve!],
    {
      fn: returnToBest,
      scalars: [],
      targets: [0, 1, 'new', 'new'],
    },
  ) as [Tensor, Tensor];
  const moved =
    norm === 'linf'
      ? elementwiseMap(graph, signMove, [x, g, share], [alpha, direction])
      : elementwiseMap(
          graph,
          lengthMove,
          [x, g, share, graph.one('sampleNorm', [g], { norm: 'l2' })],
          [alpha, direction, stage.loss === 'dlr' ? addedLength : 0],
        );
  return graph.one('map', [perPixel('previous'), x, projectOnBall(stage, moved)], {
    fn: mixWithLast,
    scalars: [first, freshShare],
    targets: [0, 'new'],
  });
};

const moved: ElementwiseFunction = {
  name: 'movedPixels',
  inputs: ['v', 'x'],
  scalars: [],
  results: ['select(0.0, 1.0, v != x)'],
  reference: (v, x) => [Number(v !== x)],
};

const endSparseWindow: ElementwiseFunction = {
  name: 'endSparseWindow',
  inputs: ['share', 'kept', 'support', 'now', 'here'],
  scalars: ['first', 'again', 'window', 'pixels'],
  prelude: `  let begins = first > 0.5;
  let ends = window > 0.5;
  let shrank = ends && now / support < 0.95;
  let reduced = select(max(share / 1.5, 0.1), 1.0, shrank);
  let before = select(pixels, here, again > 0.5);`,
  results: [
    'select(select(share, reduced, ends), 1.0, begins)',
    'select(select(kept, now / pixels / 1.5, ends), select(0.2, here / pixels / 1.5, again > 0.5), begins)',
    'select(select(support, now, ends), before, begins)',
    'select(0.0, 1.0, shrank)',
  ],
  reference: (share, kept, support, now, here, first, again, window, pixels) => {
    const [begins, ends] = [first! > 0.5, window! > 0.5];
    const shrank = ends && now! / support! < 0.95;
    if (begins) {
      const [part, all] = again! > 0.5 ? [here! / pixels! / 1.5, here!] : [0.2, pixels!];
      return [1, part, all, 0];
    }
    if (!ends) return [share!, kept!, support!, 0];
    return [shrank ? 1 : Math.max(share! / 1.5, 0.1), now! / pixels! / 1.5, now!, Number(shrank)];
  },
};

/**
 * One step of APGD in an L1 ball: along the signs of the largest entries of the gradient, with length eta in L1, then
 * back into ball and box. At a window's end the share of entries becomes that of the pixels that the best point has
 * moved, over 1.5; where these became fewer by a twentieth, eta goes back to its first value and the iterate to the
 * best point; elsewhere eta is divided by 1.5, down to a tenth.
 */
function sparseStep(stage: StageContext, iterate: Tensor, gradient: Tensor, better: Tensor): Tensor {
  const { graph, clean, direction, alpha, first, window } = stage;
  const perImage = (name: string): Tensor => stage.memory(name, [iterate.shape[0]!]);
  const perPixel = (name: string): Tensor => stage.memory(name, iterate.shape);
  const support = (point: Tensor): Tensor =>
    graph.one('sampleNorm', [elementwiseMap(graph, moved, [point, clean])], { norm: 'l1' });
  const [bestPoint, bestGradient] = [perPixel('bestPoint'), perPixel('bestGradient')];
  graph.add('map', [bestPoint, bestGradient, iterate, gradient, better], {
    fn: keepBest,
    scalars: [],
    targets: [0, 1],
  });
  const [share, kept] = [perImage('stepShare'), perImage('keptShare')];
  const [shrank] = graph.add('map', [share, kept, perImage('support'), support(bestPoint), support(iterate)], {
    fn: endSparseWindow,
    scalars: [first, { step: 'again' }, window, iterate.shape.slice(1).reduce((product, size) => product * size, 1)],
    targets: [0, 1, 2, 'new'],
  });
  const [x, g] = graph.add('map', [bestPoint, bestGradient, iterate, gradient, shrank!], {
    fn: choose,
    scalars: [],
    targets: ['new', 'new'],
  }) as [Tensor, Tensor];
  const signs = sparseSigns(stage, g, { share: kept });
  const length = graph.one('sampleNorm', [signs], { norm: 'l1' });
  return elementwiseMap(graph, sparseMove, [x, signs, share, length], [alpha, direction]);
}

const keepBest: ElementwiseFunction = {
  name: 'keepBest',
  inputs: ['bestPoint', 'bestGradient', 'x', 'g', 'better'],
  scalars: [],
  results: ['select(bestPoint, x, better > 0.5)', 'select(bestGradient, g, better > 0.5)'],
  reference: (bestPoint, bestGradient, x, g, better) => (better! > 0.5 ? [x!, g!] : [bestPoint!, bestGradient!]),
};

const choose: ElementwiseFunction = {
  name: 'choose',
  inputs: ['bestPoint', 'bestGradient', 'x', 'g', 'best'],
  scalars: [],
  results: ['select(x, bestPoint, best > 0.5)', 'select(g, bestGradient, best > 0.5)'],
  reference: (bestPoint, bestGradient, x, g, best) => (best! > 0.5 ? [bestPoint!, bestGradient!] : [x!, g!]),
};

const sparseMove: ElementwiseFunction = {
  name: 'sparseMove',
  inputs: ['x', 's', 'share', 'length'],
  scalars: ['alpha', 'direction'],
  results: ['x + direction * alpha * share * s / (length + 1e-10)'],
  reference: (x, s, share, length, alpha, direction) => [x! + (direction! * alpha! * share! * s!) / (length! + 1e-10)],
};
