import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { compare, PartyProcess } from '../../src/bench/compare.js';
import type { PartyEntry } from '../../src/bench/party.js';
import { makeWorkload } from '../../src/bench/workloads.js';

/** A party without a GPU: waits, and gives a result of its own. */
function fake(folder: string, name: string, milliseconds: number, body: string, elsewhere = 0): PartyEntry {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(
    path,
    `export default { async open(work) {
      return { run: (units) => new Promise((done) => setTimeout(done, ${milliseconds} * units, ${elsewhere})), close() {}, async result() { ${body} } };
    } };`,
  );
  return { name, module: pathToFileURL(path).href, browser: false };
}

describe('comparison of parties', () => {
  let folder: string;
  let parties: PartyProcess[] = [];
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'linbp-test-'))));
  afterEach(() => {
    for (const party of parties) party.end();
    rmSync(folder, { recursive: true });
  });

  const options = {
    rounds: 3,
    budgetSeconds: 60,
    turnMilliseconds: 1,
    checkUnits: 1,
    tolerance: 1e-3,
    processorTime: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  };

  it('reports the slower party as slower, and results that differ', async () => {
    parties = [fake(folder, 'own', 30, 'return [1, 2];'), fake(folder, 'slow', 300, 'return [1, 2.5];')].map((entry) => new PartyProcess(entry));
    const rows = await compare({ kind: 'matmul', size: 4 }, parties, options);
    expect(rows.map((row) => row.subject)).to.deep.equal(['own', 'slow']);
    expect(rows[0]!.ratio).to.equal(1);
    expect(rows[1]!.ratio).to.be.greaterThan(1.5);
    expect(rows[1]!.note).to.include('DIFFER');
  });

  it('gives a slow workload fewer rounds, and counts processor time that a party spends in other processes', async () => {
    parties = [fake(folder, 'own', 60, 'return [1];')].map((entry) => new PartyProcess(entry));
    const turns = async (budgetSeconds: number): Promise<number> => {
      const seen = new Set<string>();
      const onProgress = (text: string): void => void (text.includes('round') && seen.add(text));
      await compare({ kind: 'matmul', size: 4 }, parties, { ...options, rounds: 50, budgetSeconds, onProgress });
      return seen.size;
    };
    expect(await turns(0.001)).to.equal(1);
    expect(await turns(0.2)).to.be.within(2, 4);
    parties.push(new PartyProcess(fake(folder, 'elsewhere', 1, 'return [1];', 5000)));
    const rows = await compare({ kind: 'matmul', size: 4 }, parties, { ...options, processorTime: true });
    const elsewhere = rows.find((row) => row.subject === 'elsewhere' && row.unit === 'cpu ms')!;
    expect(elsewhere.max).to.be.at.least(5000 / 64);
  });

  it('leaves a party that fails out of the figures and says why; its failure is its own', async () => {
    parties = [fake(folder, 'own', 1, 'return [1];'), fake(folder, 'broken', 1, 'throw new Error("no such op");')].map(
      (entry) => new PartyProcess(entry),
    );
    const rows = await compare({ kind: 'matmul', size: 4 }, parties, options);
    expect(rows[1]!.median).to.be.NaN;
    expect(rows[1]!.note).to.include('no such op');
  });

  it('draws the same data in every process', () => {
    const [one, two] = [makeWorkload({ kind: 'training', model: 'mlp', batch: 4 }), makeWorkload({ kind: 'training', model: 'mlp', batch: 4 })];
    expect(one).to.deep.equal(two);
  });
});
