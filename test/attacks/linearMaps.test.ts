import { expect } from 'chai';
import { diverseInputs, noisyQuery, smoothedGradient } from '../../src/attacks/transforms.js';
import { inputTransforms } from '../../src/attacks/transfer.js';
import type { Draw, StageContext, Transform } from '../../src/attacks/stages.js';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import type { NetBuilder } from '../../src/nn/builder.js';
import { resized } from '../../src/nn/resized.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { bp } from '../../src/rules/builtin.js';
import { everywhere } from '../../src/rules/resolve.js';
import { sharedDevice } from '../support/device.js';
import { testSeed } from '../support/dispatch.js';
import { numbers } from './support.js';

const [batch, channels, height, width] = [3, 2, 12, 10] as const;
const shape = [batch, channels, height, width] as const;

/** What a transform sees of its attack: its options, and random numbers by a fixed counter. */
function contextOf(graph: Graph, parameters: Readonly<Record<string, number>>): { stage: StageContext; draw: Draw } {
  const sampleIds = graph.input('sampleIds', [batch], 'u32');
  const random: StageContext['random'] = (size, distribution, step, stream = 11) =>
    graph.one('random', [sampleIds], { shape: size, distribution, stream, seed: testSeed, step });
  const draw: Draw = (size, distribution = 'uniform', which = 0) => random(size, distribution, 5, 64 + which);
  const stage = {
    ...{ graph, parameters, sampleIds, random, seed: testSeed, query: 5, radius: 0.1, norm: 'linf' },
    partner: () => graph.input('partner', shape),
    state: (name: string, size: readonly number[]) => graph.input(name, size),
  };
  return { stage: stage as unknown as StageContext, draw };
}

type ImageMap = (graph: Graph, x: Tensor) => Tensor;

const ofTransform =
  (transform: Transform, given: Readonly<Record<string, number>> = {}): ImageMap =>
  (graph, x) => {
    const defaults = Object.entries(transform.parameters ?? {}).map(([name, { byDefault }]) => [name, byDefault]);
    const { stage, draw } = contextOf(graph, { ...(Object.fromEntries(defaults) as Record<string, number>), ...given });
    return transform.apply(stage, x, 1, draw);
  };

/** Images of this size in front of a network of another one. */
const ofResize =
  (to: readonly [number, number]): ImageMap =>
  (graph, x) => {
    let seen = x;
    const own = {
      ...{ name: 'inner', input: [channels, ...to] as const, classes: 2 },
      build(_net: NetBuilder, images: Tensor): Tensor {
        seen = images;
        return images;
      },
    };
    resized(own, [height, width]).build({ graph } as unknown as NetBuilder, x);
    return seen;
  };

const maps: Readonly<Record<string, ImageMap>> = {
  ...Object.fromEntries(Object.entries(inputTransforms).map(([name, each]) => [name, ofTransform(each)])),
  'di, always': ofTransform(inputTransforms.di, { probability: 1 }),
  difgsm: (graph, x) => diverseInputs(contextOf(graph, {}).stage, x),
  noisy: (graph, x) => noisyQuery(contextOf(graph, {}).stage, x),
  'ti, smoothing': (graph, x) => smoothedGradient(contextOf(graph, {}).stage, x),
  'translate far': ofTransform(inputTransforms.translate, { pixels: 11 }),
  'bsr by up to 180 degrees': ofTransform(inputTransforms.bsr, { angle: 180, strips: 3 }),
  'resizing to larger images': ofResize([17, 23]),
  'resizing to smaller images': ofResize([5, 7]),
};

/** Two points in the middle of the gray values, where nothing is cut off, and a direction. */
interface Points {
  readonly x0: Float32Array;
  readonly x1: Float32Array;
  readonly y: Float32Array;
}

function build(map: ImageMap) {
  const graph = new Graph();
  const x = graph.input('x', shape);
  const forward = map(graph, x);
  const y = graph.input('y', forward.shape);
  const seed = { at: forward, gradient: y };
  const found = gradients(graph, { loss: forward, scale: 1, targets: [x], rules: everywhere(bp), seed }).get(x)!;
  graph.output('forward', forward);
  graph.output('transposed', found);
  const others = new Map<Tensor, Float32Array | Uint32Array>();
  for (const tensor of graph.tensors) {
    if (tensor.kind === 'value' || tensor === x || tensor === y || graph.initial.has(tensor)) continue;
    const count = elementCount(tensor.shape);
    others.set(tensor, tensor.dtype === 'u32' ? Uint32Array.of(0, 7, 9) : numbers(testSeed + 3, count, -0.3, 0.3));
  }
  const count = elementCount(shape);
  const points: Points = {
    x0: numbers(testSeed, count, 0.3, 0.7),
    x1: numbers(testSeed + 1, count, 0.3, 0.7),
    y: numbers(testSeed + 2, elementCount(y.shape), -1, 1),
  };
  return { graph, x, y, forward, transposed: found, others, points };
}

type Run = (x: Float32Array) => Promise<{ forward: ArrayLike<number>; transposed: ArrayLike<number> }>;

/** <A x1 - A x0, y> and <x1 - x0, A' y>, over the length of what is added up. */
async function sides(run: Run, { x0, x1, y }: Points): Promise<{ apart: number; moved: number }> {
  const [first, second] = [await run(x0), await run(x1)];
  let [left, right, total, moved] = [0, 0, 0, 0];
  for (let i = 0; i < y.length; i++) {
    const change = second.forward[i]! - first.forward[i]!;
    left += change * y[i]!;
    moved = Math.max(moved, Math.abs(change));
    total += Math.abs(change * y[i]!);
  }
  for (let i = 0; i < x0.length; i++) {
    expect(second.transposed[i], 'the transpose does not depend on the point').to.equal(first.transposed[i]);
    right += (x1[i]! - x0[i]!) * first.transposed[i]!;
  }
  return { apart: Math.abs(left - right) / total, moved };
}

describe(`linear maps of images, transposed by autodiff, seed ${testSeed}`, () => {
  for (const [name, map] of Object.entries(maps))
    it(`${name}: <Ax, y> = <x, A'y> in float64, and to 1e-5 on the device`, async () => {
      const { graph, x, y, forward, transposed, others, points } = build(map);
      const reference = new ReferenceRun(graph);
      for (const [tensor, values] of [...others, [y, points.y] as const]) reference.set(tensor, values);
      const exact = await sides(async (at) => {
        reference.set(x, at);
        reference.run();
        return { forward: reference.get(forward).slice(), transposed: reference.get(transposed).slice() };
      }, points);
      // the weights of resizing are kept in float32, rows and columns apart
      expect(exact.apart).to.be.below(name.startsWith('resizing') ? 1e-8 : 1e-12);
      expect(exact.moved).to.be.above(1e-3);

      using program = await Program.compile(graph, { device: await sharedDevice() });
      for (const [tensor, values] of [...others, [y, points.y] as const]) program.write(tensor, values);
      const onDevice = await sides(async (at) => {
        program.write(x, at);
        await program.run([{ segment: 'main' }]);
        return { forward: await program.read(forward), transposed: await program.read(transposed) };
      }, points);
      expect(onDevice.apart).to.be.below(1e-5);
    });

  it('A transposed times A is the identity for what only moves pixels or changes the basis', () => {
    // SIA's blocks rolled and flipped, BSR's strips shuffled without turning, the DCT with and without its inverse
    const moved = (draws: readonly number[], angle: number): ImageMap => {
      const draw =
        (graph: Graph): Draw =>
        (size) => {
          const count = elementCount(size) / batch;
          const values = Array.from({ length: batch * count }, (_, i) => draws[(i % count) % draws.length]!);
          return graph.constant(`drawn ${size.join()}`, values, size);
        };
      const { sia, bsr } = inputTransforms;
      if (angle < 0)
        return (graph, x) => {
          const { stage } = contextOf(graph, { blocks: 3, structures: 1 });
          return sia.apply(stage, x, 0, draw(graph));
        };
      return (graph, x) => {
        const { stage } = contextOf(graph, { strips: 3, angle, shuffles: 1 });
        return bsr.apply(stage, x, 0, draw(graph));
      };
    };
    const cases: readonly (readonly [string, ImageMap])[] = [
      // numbers below 5/7 choose rolls and flips
      ['sia', moved([0.3, 0.6, 0.1, 0.68, 0.45, 0.2, 0.01], -1)],
      ['bsr', moved([0.3, 0.9, 0.7, 0.1, 0.5], 0)],
      ['dct and back', ofTransform(inputTransforms.ssa, { rho: 0, sigma: 0 })],
    ];
    for (const [name, map] of cases) {
      const { graph, x, y, forward, transposed, others, points } = build(map);
      const run = new ReferenceRun(graph);
      for (const [tensor, values] of others) run.set(tensor, values);
      run.set(x, points.x0);
      run.set(y, points.y);
      run.run();
      run.set(y, run.get(forward).slice());
      run.run();
      run.get(transposed).forEach((value, i) => expect(value, `${name}, ${i}`).to.be.closeTo(points.x0[i]!, 1e-9));
      if (name === 'dct and back') {
        run.get(forward).forEach((value, i) => expect(value, `${name}, ${i}`).to.be.closeTo(points.x0[i]!, 1e-9));
        continue;
      }
      const same = run.get(forward).filter((value, i) => value === points.x0[i]).length;
      expect(same / points.x0.length, name).to.be.below(0.7);
    }
  });
});
