import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { row } from '../../src/bench/rows.js';
import type { BenchRow } from '../../src/bench/rows.js';
import { root, runNode } from '../cli/support.js';
import type { Ended } from '../cli/support.js';

interface Run {
  readonly date: string;
  readonly adapter: string;
  readonly settings: { readonly only: string; readonly driver: string };
}

interface Merged {
  readonly runs: readonly Run[];
  readonly rows: readonly (BenchRow & { readonly run: number })[];
}

describe('joining results of benchmarks', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'linbp-test-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A result as `linbp bench --only NAME` writes it, with a row for each name. */
  function result(
    only: string,
    day: number,
    values: Readonly<Record<string, number>>,
    description = 'an adapter',
  ): string {
    const rows = Object.entries(values).map(([name, value]) => row(name, 'linbp', 'ms', [value]));
    const settings = { only, driver: 'system' };
    const path = join(folder, `${only}.json`);
    writeFileSync(
      path,
      JSON.stringify({ adapter: { description }, settings, seconds: 1, date: `2027-01-0${day}T00:00:00.000Z`, rows }),
    );
    return path;
  }
  const merge = (out: string, ...files: string[]): Promise<Ended> =>
    runNode(['benchmarks/merge.mjs', join(folder, out), ...files]);
  const read = (name: string): Merged => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Merged;

  it('keeps the run of every row, also of files that are joined already @slow', async () => {
    const [first, second, third] = [
      result('kernels', 1, { product: 1, control: 10 }),
      result('training', 2, { step: 2, control: 20 }),
      result('attack', 3, { step: 3, PGD: 4, control: 30 }),
    ];
    expect((await merge('one', first, second)).code).to.equal(0);
    expect((await merge('two', join(folder, 'one.json'), third)).code).to.equal(0);
    const { runs, rows } = read('two.json');
    const told = rows.map(({ name, median, run }) => [name, median, runs[run]!.settings.only]);
    expect(told).to.have.deep.members([
      ['product', 1, 'kernels'],
      ['control', 30, 'attack'],
      ['step', 3, 'attack'],
      ['PGD', 4, 'attack'],
    ]);
    // Of the second run no row is left.
    expect(runs.map(({ date }) => date.slice(0, 10))).to.deep.equal(['2027-01-01', '2027-01-03']);
    for (const run of runs) expect(run).to.deep.include({ adapter: 'an adapter', seconds: 1 });
    expect(runs[0]!.settings).to.deep.equal({ only: 'kernels', driver: 'system' });
    expect(readFileSync(join(folder, 'two.md'), 'utf8')).to.contain('an adapter, 2027-01-01 to 2027-01-03');
  });

  it('refuses rows without a run, and results of different adapters @slow', async () => {
    const good = result('training', 2, { step: 2 });
    const lost = join(folder, 'lost.json');
    const rows = [{ ...row('step', 'linbp', 'ms', [1]), run: 0 }];
    writeFileSync(lost, JSON.stringify({ adapter: { description: 'an adapter' }, runs: [{}], rows }));
    const untold = await merge('out', lost, good);
    expect(untold.code).to.equal(2);
    expect(untold.stderr).to.match(/^merge: .*lost\.json: no run .* "step"\n$/);
    const other = await merge('out', good, result('attack', 3, { PGD: 2 }, 'another'));
    expect(other.code).to.equal(2);
    expect(other.stderr).to.equal('merge: results of different adapters: an adapter; another\n');
  });

  it('every published row has its run', () => {
    for (const file of ['llvmpipe.json', 'llvmpipe-avx512.json']) {
      const { runs, rows } = JSON.parse(readFileSync(join(root, 'docs/benchmarks', file), 'utf8')) as Merged;
      for (const { name, run } of rows) expect(runs[run]?.settings.only, name).to.be.a('string');
      for (const { date, adapter } of runs) expect(`${date} ${adapter}`).to.match(/^\d{4}-\d\d-\d\dT.* llvmpipe/);
    }
  });
});
