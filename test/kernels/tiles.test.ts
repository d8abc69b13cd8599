import { expect } from 'chai';
import { chooseTile } from '../../src/kernels/tiles.js';
import { plainDevice } from '../support/plainDevice.js';

describe('usual tiles', () => {
  const columns = (count: number, device = plainDevice): number => chooseTile({ rows: 400, columns: count, maxRows: 16 }, device).columns;

  it('on the CPU are narrow where wide ones would compute columns that there are not', () => {
    expect([64, 256, 1025, 4096].map((count) => columns(count))).to.deep.equal([8, 8, 8, 8]);
    // a bias is one column more
    expect([10, 32, 96, 257, 785].map((count) => columns(count))).to.deep.equal([4, 4, 4, 4, 4]);
  });

  it('on a GPU depend on how many workgroups there are', () => {
    const gpu = { ...plainDevice, software: false };
    expect([64, 257, 4096].map((count) => columns(count, gpu))).to.deep.equal([4, 4, 8]);
  });
});
