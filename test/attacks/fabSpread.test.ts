import { expect } from 'chai';
import { attack } from '../../src/attacks/index.js';
import type { HostModel, Model } from '../../src/nn/model.js';
import type { ReferenceExecutor } from '../../src/program/referenceExecutor.js';
import { lacking, slowly } from '../support/slow.js';
import { expectWithin } from './figures.js';
import { dataFolder, onDevice, replay, testImages, testLabels, trained } from './replay.js';

/** An image whose outcome rounding decides in the reference code. */
interface Undecided {
  readonly index: number;
  /** Smallest distances over the targets in float32, by how runs are told apart. */
  readonly distances: Readonly<Record<string, readonly number[]>>;
  /** By rank of the target, in float64. */
  readonly float64: readonly number[];
}

interface Judge {
  undecidedImages(setting: string): Promise<readonly Undecided[]>;
  roundedCopies(image: Float32Array, copies: number): Float32Array;
  judgeSpread(
    run: typeof attack,
    about: { model: Model | HostModel; image: Float32Array; label: number; given: Undecided; copies?: number },
  ): Promise<{ readonly apart: number; readonly width: number; readonly met: boolean; readonly text: string }>;
}

const { undecidedImages, roundedCopies, judgeSpread } = (await import(
  new URL('../../../scripts/fabSpread.mjs', import.meta.url).href
)) as Judge;

/** FAB-T's distance to one rank of target, in float64. */
async function distanceOfRank(index: number, rank: number): Promise<number> {
  let found = NaN;
  using attacked = await replay(
    {
      ...{ model: await trained('lenet5-advtrained'), attack: 'fab-t', norm: 'l2', steps: 100, batch: 1 },
      parameters: { targets: 9 },
    },
    () => [],
    (segment, valuesOf) => {
      if (segment === 'move') [found] = valuesOf('rankDistance') as unknown as [number];
    },
  );
  const executor = (await attacked.executor()).executor as ReferenceExecutor;
  const run = executor.runSegment.bind(executor);
  let at = 0;
  executor.runSegment = async (segment, row, signal) => {
    if (segment === 'from') at++;
    // the other ranks do not matter to this one
    if (at === rank || !['candidate', 'move'].includes(segment)) await run(segment, row, signal);
  };
  await attacked.run({ images: await testImages('mnist', [index]), labels: await testLabels('mnist', [index]) });
  return found;
}

describe('attacks: FAB-T where rounding decides', () => {
  it('copies of an image differ by one rounding of pixels above 0', () => {
    const image = Float32Array.of(0, 0.5, 1, 0.1);
    const copies = roundedCopies(image, 3);
    expect([...copies.subarray(0, 4)]).to.deep.equal([...image]);
    expect([copies[4], copies[8]]).to.deep.equal([0, 0]);
    for (const [i, pixel] of copies.subarray(4).entries()) {
      const off = Math.abs(pixel / image[i % 4]! - 1);
      if (i % 4 === 1) expect(off).to.be.oneOf([2 ** -23, 2 ** -24]);
      if (pixel > 0) expect(off).to.be.at.most(2 ** -23);
    }
  });

  it('distances that are further off than those of the reference from each other are told', async () => {
    const image = Float32Array.of(0.5, 0.5);
    const given = { index: 3, distances: { golden: [1.5], weights: [1.4, 1.6] }, float64: [] };
    const judged = async (distance: number): Promise<boolean> => {
      const shifted = ({ images }: { images: Float32Array }): object => ({
        images: images.map((pixel, i) => pixel + (i % 2) * distance),
      });
      const run = shifted as unknown as typeof attack;
      const { met } = await judgeSpread(run, { model: undefined as never, image, label: 0, given });
      return met;
    };
    expect(await Promise.all([1.31, 1.5, 1.69, 1.29, 1.71].map(judged))).to.deep.equal([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  for (const [index, ranks] of [
    [11, [2, 8, 9]],
    [22, [2]],
  ] as const)
    slowly(
      true,
      `image ${index} in float64 after 100 steps: distances to classes ${ranks.join()}`,
      1_800_000,
      async () => {
        if (dataFolder === '') return lacking('LINBP_DATA');
        const { float64 } = (await undecidedImages('mnist.l2')).find((each) => each.index === index)!;
        for (const rank of ranks) {
          const off = Math.abs((await distanceOfRank(index, rank)) / float64[rank - 1]! - 1);
          expectWithin('aa.mnist.l2 FAB-T in float64', off, 1e-6, `image ${index}, class ${rank}`);
        }
      },
    );

  slowly(true, 'on the device distances lie as those of the reference under roundings', 1_800_000, async () => {
    if (dataFolder === '') return lacking('LINBP_DATA');
    const model = await onDevice('lenet5-advtrained');
    try {
      for (const given of await undecidedImages('mnist.l2')) {
        const image = await testImages('mnist', [given.index]);
        const label = (await testLabels('mnist', [given.index]))[0]!;
        const { apart, width, text } = await judgeSpread(attack, { model, image, label, given });
        expectWithin('aa.mnist.l2 FAB-T, device, medians', apart, width, text);
      }
    } finally {
      model.destroy();
    }
  });
});
