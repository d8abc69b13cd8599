import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { uniforms } from '../../src/random/philox.js';
import { checkGraph, keep, randomInt, randomValues, randomWords, runGraph } from '../support/dispatch.js';

describe('source kernels', () => {
  for (const distribution of ['uniform', 'normal'] as const) {
    it(`random ${distribution} numbers are those of the reference`, async () => {
      for (const shape of [[1], [7], [7, 3], [64, 5, 3], [2, 3, 17, 5]]) {
        const ids = randomWords(shape[0]!, 2 ** 32);
        for (const fromStep of [false, true]) {
          const graph = new Graph();
          const sampleIds = graph.input('ids', [shape[0]!], 'u32');
          const [seed, step] = [randomInt(0, 2 ** 32 - 1), randomInt(0, 1000)];
          const attrs = fromStep ? { seed: { step: 'seed' }, step: { step: 'step' } } : { seed, step };
          const y = graph.one('random', [sampleIds], { shape, distribution, stream: 4, ...attrs });
          keep(graph, y);
          const results = await checkGraph(graph, {
            data: new Map([[sampleIds, ids]]),
            steps: { step: { type: 'u32', value: step }, seed: { type: 'u32', value: seed } },
          });
          if (distribution === 'normal') continue;
          const size = results(y).length / shape[0]!;
          expect([...results(y)]).to.deep.equal([...ids].flatMap((id) => [...uniforms(seed, 4, id, step, size)]));
        }
      }
    });
  }

  for (const transposed of [false, true]) {
    it(`random scaling and padding${transposed ? ', transposed,' : ''} is that of the reference`, async () => {
      for (const [shape, largest] of [
        [
          [9, 3, 32, 32],
          [40, 40],
        ],
        [
          [4, 1, 7, 7],
          [9, 9],
        ],
        [
          [3, 2, 5, 5],
          [5, 5],
        ],
        [
          [2, 1, 1, 1],
          [255, 255],
        ],
        [
          [5, 2, 11, 6],
          [13, 9],
        ],
        [
          [4, 1, 3, 20],
          [3, 31],
        ],
      ] as const) {
        for (const fromStep of [false, true]) {
          const graph = new Graph();
          const [x, ids] = [graph.input('x', shape), graph.input('ids', [shape[0]], 'u32')];
          const [seed, step] = [randomInt(0, 2 ** 32 - 1), randomInt(0, 1000)];
          const attrs = fromStep ? { seed: { step: 'seed' }, step: { step: 'step' } } : { seed, step };
          keep(
            graph,
            graph.one('randomResizePad', [x, ids], { largest, probability: 0.6, transposed, stream: 5, ...attrs }),
          );
          await checkGraph(graph, {
            data: new Map<Tensor, Float32Array | Uint32Array>([
              [x, randomValues(shape[0] * shape[1] * shape[2] * shape[3])],
              [ids, randomWords(shape[0], 2 ** 32)],
            ]),
            steps: { step: { type: 'u32', value: step }, seed: { type: 'u32', value: seed } },
          });
        }
      }
    });
  }

  for (const fromStep of [false, true]) {
    for (const flip of [true, false]) {
      it(`random crops${flip ? ' and flips' : ''} of reference, seed ${fromStep ? 'per step' : 'fixed'}`, async () => {
        for (const [shape, padding] of [
          [[5, 3, 32, 32], 4],
          [[3, 1, 7, 5], 2],
          [[2, 2, 3, 3], 9],
          [[1, 1, 1, 1], 127],
        ] as const) {
          const graph = new Graph();
          const x = graph.input('x', shape);
          const sampleIds = graph.input('ids', [shape[0]], 'u32');
          const [seed, step] = [randomInt(0, 2 ** 32 - 1), randomInt(0, 1000)];
          const attrs = fromStep ? { seed: { step: 'seed' }, step: { step: 'step' } } : { seed, step };
          keep(graph, graph.one('randomCropFlip', [x, sampleIds], { padding, flip, stream: 10, ...attrs }));
          await checkGraph(graph, {
            data: new Map<Tensor, Float32Array | Uint32Array>([
              [x, randomValues(shape[0] * shape[1] * shape[2] * shape[3])],
              [sampleIds, randomWords(shape[0], 2 ** 32)],
            ]),
            steps: { step: { type: 'u32', value: step }, seed: { type: 'u32', value: seed } },
            tolerance: 0,
          });
        }
      });
    }
  }

  /** Crops images whose pixels are their own numbers, so that a crop can be read off. */
  async function crops(
    count: number,
    side: number,
    ids: Uint32Array,
    attrs: { padding: number; flip: boolean; seed: number; step: number },
  ) {
    const graph = new Graph();
    const x = graph.input('x', [count, 1, side, side]);
    const sampleIds = graph.input('ids', [count], 'u32');
    const y = graph.one('randomCropFlip', [x, sampleIds], { stream: 10, ...attrs });
    keep(graph, y);
    const pixels = Float32Array.from({ length: count * side * side }, (_, i) => 1 + (i % (side * side)));
    const { results } = await runGraph(graph, {
      data: new Map<Tensor, Float32Array | Uint32Array>([
        [x, pixels],
        [sampleIds, ids],
      ]),
    });
    return results(y) as Float32Array;
  }

  it('all places of a crop are equally likely, and half of the images are mirrored', async () => {
    const [count, side, padding] = [16200, 11, 4];
    const ids = Uint32Array.from({ length: count }, (_, i) => i);
    const y = await crops(count, side, ids, { padding, flip: true, seed: 20, step: 1 });
    const places = new Float64Array(81);
    let mirrored = 0;
    for (let n = 0; n < count; n++) {
      // The middle and its left neighbor come from inside the image wherever the crop lies.
      const middle = y[n * side * side + 5 * side + 5]! - 1;
      const left = y[n * side * side + 5 * side + 4]! - 1;
      const [row, column] = [Math.floor(middle / side) - 1, (middle % side) - 1];
      places[row * 9 + column]! += 1;
      expect(Math.abs(left - middle)).to.equal(1);
      if (left > middle) mirrored++;
    }
    // Chi-squared with 80 degrees of freedom has mean 80 and deviation 12.6; the mirrored ones have deviation 63.6.
    const chiSquared = places.reduce((sum, found) => sum + (found - 200) ** 2 / 200, 0);
    expect(chiSquared).to.be.within(80 - 5 * 12.65, 80 + 5 * 12.65);
    expect(mirrored).to.be.within(8100 - 5 * 63.6, 8100 + 5 * 63.6);
  });

  it('a crop depends on sample, step and seed, not on the place in the batch', async () => {
    const attrs = { padding: 4, flip: true, seed: 7, step: 3 };
    const size = 11 * 11;
    const ids = Uint32Array.from({ length: 40 }, (_, i) => 3 * i);
    const whole = await crops(40, 11, ids, attrs);
    expect([...(await crops(40, 11, ids, attrs))]).to.deep.equal([...whole]);
    const part = await crops(5, 11, ids.slice(20, 25).reverse(), attrs);
    for (let n = 0; n < 5; n++) {
      expect([...part.subarray(n * size, (n + 1) * size)]).to.deep.equal([
        ...whole.subarray((24 - n) * size, (25 - n) * size),
      ]);
    }
    expect([...(await crops(40, 11, ids, { ...attrs, step: 4 }))]).not.to.deep.equal([...whole]);
    expect([...(await crops(40, 11, ids, { ...attrs, seed: 8 }))]).not.to.deep.equal([...whole]);
  });

  it('without padding an image stays as it is or is mirrored', async () => {
    const y = await crops(
      64,
      3,
      Uint32Array.from({ length: 64 }, (_, i) => i),
      { padding: 0, flip: true, seed: 1, step: 1 },
    );
    const seen = new Set(Array.from({ length: 64 }, (_, n) => y.subarray(9 * n, 9 * n + 9).join()));
    expect([...seen].sort()).to.deep.equal(['1,2,3,4,5,6,7,8,9', '3,2,1,6,5,4,9,8,7']);
  });

  const images = (
    packed: boolean,
    start: number | { step: string },
    sampleShape: readonly number[],
  ): { graph: Graph; data: Tensor; indices: Tensor } => {
    const graph = new Graph();
    const size = sampleShape.reduce((a, b) => a * b, 1);
    const data = graph.input('data', [200, packed ? size / 4 : size], packed ? 'u32' : 'f32');
    const indices = graph.input('indices', [60], 'u32');
    const labels = graph.input('labels', [200], 'u32');
    keep(graph, graph.one('gatherImages', [data, indices], { count: 7, sampleShape, packed, start }));
    keep(graph, graph.one('gatherLabels', [labels, indices], { count: 7, start }));
    return { graph, data, indices };
  };

  for (const packed of [true, false]) {
    for (const start of [3, { step: 'start' }]) {
      it(`gathers ${packed ? 'packed' : 'float'}, ${typeof start === 'number' ? 'fixed' : 'step'} start`, async () => {
        for (const sampleShape of [
          [1, 2, 2],
          [3, 4, 5],
          // floats that are not copied in fours
          ...(packed ? [] : [[1, 3, 3]]),
          // 8,000 bytes, which fit a binding of 8,192 but not with the most that may lie before them
          [1, 2, packed ? 20 : 5],
        ]) {
          const { graph, data, indices } = images(packed, start, sampleShape);
          const labels = graph.tensors.find(({ name }) => name === 'labels')!;
          const count = data.shape[0]! * data.shape[1]!;
          const inputs = new Map<Tensor, Float32Array | Uint32Array>([
            [data, packed ? randomWords(count, 2 ** 32) : randomValues(count)],
            [indices, randomWords(60, 200)],
            [labels, randomWords(200, 10)],
          ]);
          const steps = { start: { type: 'u32', value: 50 } } as const;
          await checkGraph(graph, { data: inputs, steps });
          // a data set that does not fit a binding
          const device = { maxBindingBytes: 8192 };
          const { dispatches } = await runGraph(graph, { data: inputs, steps, device });
          if (count * 4 > 8192) expect(dispatches.length).to.be.greaterThan(2);
          await checkGraph(graph, { data: inputs, steps, device });
        }
      });
    }
  }

  it('scales bytes to [0, 1] with 0 and 255 exact', async () => {
    const graph = new Graph();
    const data = graph.input('data', [1, 64], 'u32');
    const indices = graph.input('indices', [1], 'u32');
    const y = graph.one('gatherImages', [data, indices], { count: 1, sampleShape: [256], packed: true, start: 0 });
    keep(graph, y);
    const words = new Uint32Array(Uint8Array.from({ length: 256 }, (_, i) => i).buffer);
    const results = await checkGraph(graph, {
      data: new Map([
        [data, words],
        [indices, new Uint32Array(1)],
      ]),
      tolerance: 1e-7,
    });
    expect([results(y)[0], results(y)[255]]).to.deep.equal([0, 1]);
  });
});
