import { selectRules } from '../../src/attacks/options.js';
import { lossKinds } from '../../src/attacks/index.js';
import type { AttackLoss, AttackNorm } from '../../src/attacks/index.js';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { addModel, addStores } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import type { StateDict } from '../../src/nn/model.js';
import { normalPair, randomBits, randomStreams, uniform01 } from '../../src/random/philox.js';
import { ReferenceRun } from '../../src/reference/run.js';

/** What APGD did to one image. */
export interface Trace {
  /** steps + 1 points and the losses at them. */
  readonly points: readonly Float64Array[];
  readonly losses: readonly number[];
  /** Step size of each step over the first step size. */
  readonly shares: readonly number[];
  /** Steps before which the step size was halved. */
  readonly halvedBefore: readonly number[];
}

export interface TraceOptions {
  readonly definition: ModelDefinition;
  readonly weights: StateDict;
  readonly image: Float32Array;
  readonly label: number;
  readonly norm: AttackNorm;
  readonly loss: AttackLoss;
  readonly eps: number;
  readonly steps: number;
  readonly seed: number;
  readonly sampleId: number;
  readonly restart: number;
}

/** Loss and its gradient at a point, in float64. */
function objective({
  definition,
  weights,
  label,
  loss,
}: TraceOptions): (x: Float64Array) => { value: number; slope: Float64Array } {
  const graph = new Graph();
  const x = graph.input('x', [1, ...definition.input]);
  const y = graph.input('y', [1], 'u32');
  const network = addModel(graph, definition, x, { stores: addStores(graph, definition) });
  const value = graph.one('loss', [network.logits, y], { kind: lossKinds[loss] });
  const slope = gradients(graph, { loss: value, scale: 1, targets: [x], rules: selectRules({}, definition) }).get(x)!;
  const run = new ReferenceRun(graph);
  for (const [name, tensor] of network.tensors) run.set(tensor, weights.get(name)!.data);
  run.set(y, [label]);
  return (point) => {
    run.set(x, point);
    run.run();
    return { value: run.get(value)[0]!, slope: Float64Array.from(run.get(slope)) };
  };
}

const length = (v: Float64Array): number => Math.sqrt(v.reduce((sum, each) => sum + each * each, 0));

/** Step numbers before which a window ends, and its length. */
function checkpointsOf(steps: number): Map<number, number> {
  const checkpoints = new Map<number, number>();
  let window = Math.max(1, Math.floor(0.22 * steps));
  for (let end = window; end < steps; end += window) {
    checkpoints.set(end, window);
    window = Math.max(window - Math.max(1, Math.floor(0.03 * steps)), Math.max(1, Math.floor(0.06 * steps)));
  }
  return checkpoints;
}

/**
 * APGD of one image as algorithm 1 of Croce and Hein tells it, with whole histories in place of counters: at each
 * checkpoint the conditions are read off the lists of losses and step sizes. Shares with the library the network's
 * gradients and the random bits only.
 */
export function apgdTrace(options: TraceOptions): Trace {
  const { image, norm, eps, steps, seed, sampleId, restart } = options;
  const f = objective(options);
  const clean = Float64Array.from(image);
  const project = (v: Float64Array): Float64Array => {
    if (norm === 'linf')
      return v.map((value, i) => Math.min(1, Math.max(0, Math.min(clean[i]! + eps, Math.max(clean[i]! - eps, value)))));
    const delta = v.map((value, i) => value - clean[i]!);
    const factor = Math.min(1, eps / Math.max(1e-12, length(delta)));
    return delta.map((value, i) => Math.min(1, Math.max(0, clean[i]! + factor * value)));
  };
  const ascent = (slope: Float64Array): Float64Array => {
    if (norm === 'linf') return slope.map(Math.sign);
    const size = length(slope) + (options.loss === 'dlr' ? 1e-12 : 0);
    return slope.map((value) => (size === 0 ? 0 : value / size));
  };

  const bits = randomBits(seed, randomStreams.randomStart, sampleId, 2 * restart, image.length + (image.length % 2));
  const drawn = clean.map((_, i) =>
    norm === 'linf' ? 2 * uniform01(bits[i]!) - 1 : normalPair(bits[i - (i % 2)]!, bits[i - (i % 2) + 1]!)[i % 2]!,
  );
  const size = norm === 'linf' ? Math.max(...drawn.map(Math.abs)) : length(drawn);
  const points = [project(clean.map((value, i) => value + (eps * drawn[i]!) / size))];
  const evaluated = [f(points[0]!)];

  const checkpoints = checkpointsOf(steps);
  const shares: number[] = [];
  const halvedBefore: number[] = [];
  const bestUntil = (step: number): number => Math.max(...evaluated.slice(0, step + 1).map(({ value }) => value));
  let lastCheck = 0;
  let last = points[0]!;
  for (let k = 0; k < steps; k++) {
    let [x, { slope }, share] = [points[k]!, evaluated[k]!, shares[k - 1] ?? 1];
    const spent = checkpoints.get(k);
    if (spent !== undefined) {
      let rises = 0;
      // The code compares the first step's loss with zero.
      const before = (i: number): number => (i === 0 ? 0 : evaluated[i]!.value);
      for (let i = k - spent; i < k; i++) if (evaluated[i + 1]!.value > before(i)) rises++;
      const stuck = lastCheck > 0 && !halvedBefore.includes(lastCheck) && bestUntil(k) === bestUntil(lastCheck);
      if (rises <= 0.75 * spent || stuck) {
        const best = evaluated.findIndex(({ value }) => value === bestUntil(k));
        [x, slope, share] = [points[best]!, evaluated[best]!.slope, share / 2];
        halvedBefore.push(k);
      }
      lastCheck = k;
    }
    shares.push(share);
    const step = ascent(slope);
    const z = project(x.map((value, i) => value + 2 * eps * share * step[i]!));
    const next = project(
      x.map((value, i) => (k === 0 ? z[i]! : value + 0.75 * (z[i]! - value) + 0.25 * (value - last[i]!))),
    );
    last = x;
    points.push(next);
    evaluated.push(f(next));
  }
  return { points, losses: evaluated.map(({ value }) => value), shares, halvedBefore };
}
