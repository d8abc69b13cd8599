import { expect } from 'chai';
import { settle } from '../../src/attacks/options.js';
import { layOut } from '../../src/attacks/schedule.js';
import { linearModel } from './support.js';

describe('the radii of APGD in L1', () => {
  const rowsAt = (steps: number) => {
    const model = { definition: linearModel([1, 2, 2], 4), weights: new Map() };
    const own = { model, device: 'reference', norm: 'l1', eps: 0.5, steps, shrinkRadius: true } as const;
    const { runs, rows } = layOut(settle({ ...own, attack: 'apgd' }));
    const found = runs.filter(({ segment }) => segment === 'step');
    return found.flatMap(({ row = 0, repeat = 1 }) => rows.slice(row, row + repeat));
  };

  it('three times, twice and once eps for 0.3, 0.3 and 0.4 of the steps, the first two rounded up', () => {
    const cases = [
      ...[[100, 30, 40] as const, [30, 9, 12] as const, [10, 3, 4] as const, [11, 4, 3] as const],
      ...[[15, 5, 5] as const, [7, 3, 1] as const, [5, 2, 1] as const, [3, 1, 1] as const],
      // one step at eps is left where the official code has none
      ...[[4, 1, 2] as const, [2, 0, 2] as const, [1, 0, 1] as const],
    ];
    for (const [steps, part, last] of cases) {
      const radii = rowsAt(steps).map((row) => Math.round(row['radius']! / 0.5));
      const expected = [3, 2].flatMap((factor) => Array.from({ length: part }, () => factor));
      expect(radii, `${steps} steps`).to.deep.equal([...expected, ...Array.from({ length: last }, () => 1)]);
    }
  });

  it('the first step of each radius is as sparse as the point that it starts from', () => {
    const begins = rowsAt(10).filter((row) => row['first'] === 1);
    expect(begins.map((row) => row['again'])).to.deep.equal([1, 1, 1]);
  });
});
