import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { elementwiseMap } from './stages.js';
import type { StageContext } from './stages.js';

/*
 * The projection on a hyperplane inside the box, as FAB needs it of each image: found by bisection, so nothing is
 * sorted.
 */

const capped = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);
/** Pixels with a smaller |w| have no influence. */
const leastInfluence = 1e-8;
const signOf = 'select(-1.0, 1.0, c <= 0.0) * sign(w)';
const directed = (w: number, c: number): number => (c <= 0 ? 1 : -1) * Math.sign(w);

/** Room of a pixel in the direction in which <w, x> - b = c goes to zero; none where |w| is at most `least`. */
const room: ElementwiseFunction = {
  name: 'room',
  inputs: ['x', 'w', 'c', 'least'],
  scalars: [],
  prelude: `  let s = ${signOf};`,
  results: ['select(select(x, 1.0 - x, s > 0.0), 0.0, abs(w) <= least)', 'abs(w)'],
  reference: (x, w, c, least) => {
    const a = Math.abs(w!);
    return [a <= least! ? 0 : directed(w!, c!) > 0 ? 1 - x! : x!, a];
  },
};

/** 1e-8, as in the official code, but of w's size where that is below 1: the scale of logits must not matter. */
const influence: ElementwiseFunction = {
  name: 'influence',
  inputs: ['size'],
  scalars: ['least'],
  results: ['least * min(size, 1.0)'],
  reference: (size, least) => [least! * Math.min(size!, 1)],
};

const absolute: ElementwiseFunction = {
  name: 'absolute',
  inputs: ['x'],
  scalars: [],
  results: ['abs(x)'],
  reference: (x) => [Math.abs(x!)],
};

const constant: ElementwiseFunction = {
  name: 'sameForAll',
  inputs: ['x'],
  scalars: ['value'],
  results: ['select(value, x, false)'],
  reference: (_x, value) => [value!],
};

/** L-infinity: all pixels move by t, as far as they can. */
const evenTerm: ElementwiseFunction = {
  name: 'evenRooms',
  inputs: ['room', 'a', 't'],
  scalars: [],
  results: ['a * min(room, t)'],
  reference: (r, a, t) => [a! * Math.min(r!, t!)],
};
const evenMove: ElementwiseFunction = {
  name: 'evenMove',
  inputs: ['room', 'w', 'c', 'far'],
  scalars: [],
  prelude: `  let s = ${signOf};`,
  results: ['s * min(room, far)'],
  reference: (r, w, c, far) => [directed(w!, c!) * Math.min(r!, far!)],
};

/**
 * L2: pixels move by t |w|, as far as they can. With u the unconstrained move |c| |w| / ||w||^2 it is s / (1 - s) u for
 * s from 0 to 1, because t has no bound.
 */
const lengthTerm: ElementwiseFunction = {
  name: 'lengthRooms',
  inputs: ['room', 'u', 't'],
  scalars: [],
  results: ['u * min(room, t / max(1.0 - t, 1e-30) * u)'],
  reference: (r, u, t) => [u! * Math.min(r!, (t! / Math.max(1 - t!, 1e-30)) * u!)],
};
const lengthMove: ElementwiseFunction = {
  name: 'lengthMove',
  inputs: ['room', 'w', 'c', 'u', 'far'],
  scalars: [],
  prelude: `  let s = ${signOf};`,
  results: ['s * min(room, far / max(1.0 - far, 1e-30) * u)'],
  reference: (r, w, c, u, far) => [directed(w!, c!) * Math.min(r!, (far! / Math.max(1 - far!, 1e-30)) * u!)],
};
const unconstrained: ElementwiseFunction = {
  name: 'unconstrained',
  inputs: ['a', 'c', 'length'],
  scalars: [],
  results: ['a / max(length, 1e-30) * (abs(c) / max(length, 1e-30))'],
  reference: (a, c, length) => [(a! / Math.max(length!, 1e-30)) * (Math.abs(c!) / Math.max(length!, 1e-30))],
};
/** sum of u * move = |c| |c| / ||w||^2 */
const lengthGoal: ElementwiseFunction = {
  name: 'lengthGoal',
  inputs: ['c', 'length'],
  scalars: [],
  prelude: '  let reach = abs(c) / max(length, 1e-30);',
  results: ['reach * reach'],
  reference: (c, length) => [(Math.abs(c!) / Math.max(length!, 1e-30)) ** 2],
};

/** L1: pixels move all their way in the order of |w|, those at the threshold a part of it. */
const steepTerm: ElementwiseFunction = {
  name: 'steepRooms',
  inputs: ['room', 'a', 't'],
  scalars: [],
  results: ['select(0.0, a * room, a > t)'],
  reference: (r, a, t) => [a! > t! ? a! * r! : 0],
};
const steepShare: ElementwiseFunction = {
  name: 'steepShare',
  inputs: ['goal', 'nearSum', 'farSum'],
  scalars: [],
  prelude: '  let gap = nearSum - farSum;',
  results: ['select(clamp((goal - farSum) / max(gap, 1e-30), 0.0, 1.0), 1.0, gap <= 0.0)'],
  reference: (goal, nearSum, farSum) => {
    const gap = nearSum! - farSum!;
    return [gap <= 0 ? 1 : capped((goal! - farSum!) / gap, 0, 1)];
  },
};
const steepMove: ElementwiseFunction = {
  name: 'steepMove',
  inputs: ['room', 'w', 'c', 'near', 'far', 'part'],
  scalars: [],
  prelude: `  let s = ${signOf};
  let a = abs(w);`,
  results: ['s * room * select(select(0.0, part, a > near), 1.0, a > far)'],
  reference: (r, w, c, near, far, part) => {
    const a = Math.abs(w!);
    return [directed(w!, c!) * r! * (a > far! ? 1 : a > near! ? part! : 0)];
  },
};

/**
 * The shortest d in the norm with <w, x + d> = b and 0 <= x + d <= 1; where the box does not allow it, all the way that
 * it does. `c` is <w, x> - b. With room_i the way that pixel i has in the right direction, d_i is min(t, room_i) for
 * L-infinity and min(t |w_i|, room_i) for L2, and for L1 pixels go all their way in the order of |w_i|; t is found by
 * bisection. Pixels without influence stay where they are. In L2 and L1 these are, as in the official code, also those
 * whose |w_i| rounding alone may have made: where the box does not reach the hyperplane they would go all their way.
 */
export function projectOnHyperplane(
  stage: Pick<StageContext, 'graph' | 'norm'>,
  x: Tensor,
  w: Tensor,
  c: Tensor,
): Tensor {
  const { graph, norm } = stage;
  // L2 needs the length of w, L1 its largest entry
  const size = norm === 'linf' ? c : graph.one('sampleNorm', [w], { norm: norm === 'l2' ? 'l2' : 'linf' });
  const least =
    norm === 'linf'
      ? elementwiseMap(graph, constant, [size], [0])
      : elementwiseMap(graph, influence, [size], [leastInfluence]);
  const [rooms, a] = graph.add('map', [x, w, c, least], { fn: room, scalars: [], targets: ['new', 'new'] }) as [
    Tensor,
    Tensor,
  ];
  if (norm === 'l2') {
    const u = elementwiseMap(graph, unconstrained, [a, c, size]);
    const goal = elementwiseMap(graph, lengthGoal, [c, size]);
    const most = elementwiseMap(graph, constant, [c], [1]);
    const [, far] = graph.add('sampleRoot', [rooms, u, most, goal], { fn: lengthTerm, rising: true });
    return elementwiseMap(graph, lengthMove, [rooms, w, c, u, far!]);
  }
  const goal = elementwiseMap(graph, absolute, [c]);
  if (norm === 'l1') {
    const [near, far, nearSum, farSum] = graph.add('sampleRoot', [rooms, a, size, goal], {
      fn: steepTerm,
      rising: false,
    });
    const part = elementwiseMap(graph, steepShare, [goal, nearSum!, farSum!]);
    return elementwiseMap(graph, steepMove, [rooms, w, c, near!, far!, part]);
  }
  const most = elementwiseMap(graph, constant, [c], [1]);
  const [, far] = graph.add('sampleRoot', [rooms, a, most, goal], { fn: evenTerm, rising: true });
  return elementwiseMap(graph, evenMove, [rooms, w, c, far!]);
}
