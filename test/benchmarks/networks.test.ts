import { expect } from 'chai';
import { measureNetworks, networkSizes, readNetworkSizes } from '../../src/bench/networks.js';
import type { NetworkOptions } from '../../src/bench/networks.js';
import { ownParty } from '../../src/bench/peers.js';
import type { BenchRow } from '../../src/bench/rows.js';
import type { LinbpError } from '../../src/errors.js';
import { fakeParty, partyFolder } from './support.js';

const options: Omit<NetworkOptions, 'sizes' | 'precisions' | 'parties'> = {
  rounds: 1,
  budgetSeconds: 60,
  leastRounds: 1,
  answerSeconds: 60,
  turnMilliseconds: 1,
  processorTime: false,
  signal: new AbortController().signal,
  onProgress: () => undefined,
};

async function rowsOf(asked: Pick<NetworkOptions, 'sizes' | 'precisions' | 'parties'>): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for await (const found of measureNetworks({ ...options, ...asked })) rows.push(...found);
  return rows;
}

describe('networks', () => {
  let folder: ReturnType<typeof partyFolder>;
  before(() => (folder = partyFolder()));
  after(() => folder.remove());

  it('on GPUs are ResNet-18 and ResNet-50 at 128 and 512 images, attacked by 100 steps', () => {
    expect(networkSizes.large).to.deep.equal({ models: ['resnet18', 'resnet50'], batches: [128, 512], steps: 100 });
  });

  it('a step and an attack of each, in both precisions, with images a second @slow', async () => {
    const sizes = { models: ['lenet5'], batches: [4], steps: 2 };
    const rows = await rowsOf({ sizes, precisions: ['f32', 'f16'], parties: [ownParty] });
    const half = rows.filter(({ name }) => name.endsWith(', f16'));
    expect(rows.filter((row) => !half.includes(row)).map(({ name }) => name)).to.deep.equal([
      'training step lenet5, batch 4',
      'PGD-2 lenet5, batch 4',
    ]);
    expect(half).to.have.length(2);
    for (const row of rows.filter(({ median }) => Number.isFinite(median))) {
      expect(row.note).to.match(/^\d+ images\/s$/);
      expect(Number.parseInt(row.note!)).to.be.closeTo(4000 / row.median, 1);
    }
    expect(rows[0]!.median).to.be.above(0);
  });

  it('one that runs out of memory is a row with its reason, and the next runs', async () => {
    const entry = fakeParty(
      folder.path,
      'greedy',
      1,
      'return [1];',
      'if (work.kind === "training") throw new Error("The GPU reported an error: out of memory")',
    );
    const sizes = { models: ['lenet5'], batches: [4], steps: 1 };
    const rows = await rowsOf({ sizes, precisions: ['f32'], parties: [entry] });
    expect(rows.map(({ name }) => name)).to.deep.equal(['training step lenet5, batch 4', 'PGD-1 lenet5, batch 4']);
    expect(rows[0]!.median).to.be.NaN;
    expect(rows[0]!.note).to.contain('out of memory');
    expect(rows[1]!.median).to.be.above(0);
  });

  it('unknown networks and batches that are none are refused', () => {
    expect(readNetworkSizes({ models: 'resnet18, mlp', batches: '1,512' })).to.deep.equal({
      models: ['resnet18', 'mlp'],
      batches: [1, 512],
    });
    expect(readNetworkSizes({})).to.deep.equal({});
    const refusal = (given: Parameters<typeof readNetworkSizes>[0]): unknown => {
      try {
        return readNetworkSizes(given);
      } catch (error) {
        return (error as LinbpError).code;
      }
    };
    expect(refusal({ models: 'resnet18,resnet51' })).to.equal('unknown-model');
    for (const batches of ['0', '1.5', 'many', '128,', '65537'])
      expect(refusal({ batches }), batches).to.equal('bad-argument');
  });
});
