import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { compare, PartyProcess, reasonIn } from '../../src/bench/compare.js';
import type { PartyEntry } from '../../src/bench/party.js';
import { ownParty, throttledParties } from '../../src/bench/peers.js';
import type { BenchRow } from '../../src/bench/rows.js';
import { makeWorkload } from '../../src/bench/workloads.js';

/** A party without a GPU: waits, and gives a result of its own. */
function fake(folder: string, name: string, milliseconds: number, body: string, elsewhere = 0): PartyEntry {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(
    path,
    `export default { async open(work) {
      const run = (units) => new Promise((done) => setTimeout(done, ${milliseconds} * units, ${elsewhere}));
      return { run, close() {}, async result() { ${body} } };
    } };`,
  );
  return { name, module: pathToFileURL(path).href, browser: false };
}

/** A party of which the named calls have bodies of their own; a unit takes a millisecond. */
function faulty(
  folder: string,
  name: string,
  bodies: { readonly run?: string; readonly close?: string; readonly result?: string },
): PartyEntry {
  const path = join(folder, `${name}.mjs`);
  const { run = '', close = '', result = 'return [1];' } = bodies;
  writeFileSync(
    path,
    `let runs = 0;
    export default { async open() {
      const milliseconds = (count) => new Promise((done) => setTimeout(done, count));
      return {
        async run(units) { runs++; ${run} await milliseconds(units); },
        close() { ${close} },
        async result() { ${result} },
      };
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
    leastRounds: 1,
    answerSeconds: 60,
    turnMilliseconds: 1,
    checkUnits: 1,
    tolerance: 1e-3,
    processorTime: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  };

  it('reports the slower party as slower, and results that differ @slow', async () => {
    parties = [fake(folder, 'own', 30, 'return [1, 2];'), fake(folder, 'slow', 300, 'return [1, 2.5];')].map(
      (entry) => new PartyProcess(entry),
    );
    const rows = await compare({ kind: 'matmul', size: 4 }, parties, options);
    expect(rows.map((row) => row.subject)).to.deep.equal(['own', 'slow']);
    expect(rows[0]!.ratio).to.equal(1);
    expect(rows[1]!.ratio).to.be.greaterThan(1.5);
    expect(rows[1]!.note).to.include('DIFFER');
    expect(rows.map((row) => row.agrees)).to.deep.equal([undefined, false]);
    expect(rows.map((row) => row.rounds)).to.deep.equal([3, 3]);
  });

  it('gives a slow workload fewer rounds; counts processor time of processes that a party starts @slow', async () => {
    parties = [fake(folder, 'own', 60, 'return [1];')].map((entry) => new PartyProcess(entry));
    const turns = async (budgetSeconds: number, leastRounds = 1): Promise<number> => {
      const seen = new Set<string>();
      const onProgress = (text: string): void => void (text.includes('round') && seen.add(text));
      await compare({ kind: 'matmul', size: 4 }, parties, {
        ...options,
        rounds: 50,
        budgetSeconds,
        leastRounds,
        onProgress,
      });
      return seen.size;
    };
    expect(await turns(0.001)).to.equal(1);
    expect(await turns(0.2)).to.be.within(2, 4);
    expect(await turns(0.001, 3)).to.equal(3);
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

  describe('with a peer that fails between two that do not', () => {
    /** Rows of a comparison of `own`, the faulty one and `other`, and of another one after it. */
    async function rowsWith(
      bodies: Parameters<typeof faulty>[2],
      more: Partial<typeof options> = {},
    ): Promise<[BenchRow[], BenchRow[]]> {
      const entries = [
        fake(folder, 'own', 1, 'return [1];'),
        faulty(folder, 'faulty', bodies),
        fake(folder, 'other', 1, 'return [1];'),
      ];
      for (const party of parties) party.end();
      parties = entries.map((entry) => new PartyProcess(entry));
      const once = (): Promise<BenchRow[]> => compare({ kind: 'matmul', size: 4 }, parties, { ...options, ...more });
      return [await once(), await once()];
    }

    /** The faulty one's row says why and has no figures; the others have all of theirs. */
    function expectFailure(rows: readonly BenchRow[], reason: RegExp): void {
      const named = new Map(rows.map((row) => [row.subject, row]));
      expect([...named.keys()]).to.have.members(['own', 'faulty', 'other']);
      for (const name of ['own', 'other']) {
        expect(named.get(name)!.rounds, name).to.equal(3);
        expect(named.get(name)!.ratio, name).to.be.above(0);
      }
      const { median, rounds, ratio, note } = named.get('faulty')!;
      expect({ median, rounds, ratio }).to.deep.equal({ median: NaN, rounds: 0, ratio: null });
      expect(note).to.match(reason);
    }

    // The check and the trial of a turn are the first two runs of a process.
    it('by the end of its process in a round, each time again', async () => {
      for (const rows of await rowsWith({ run: 'if (runs > 3) process.exit(7);' }))
        expectFailure(rows, /^failed in round 2 of 3: faulty: ended with code 7: /);
    });

    it('by an error in a round', async () => {
      const [rows] = await rowsWith({ run: 'if (runs === 3) throw new Error("out of memory");' });
      expectFailure(rows, /^failed in round 1 of 3: faulty: Error: out of memory/);
    });

    it('by a crash that says why on its error output', async () => {
      const crash =
        'if (runs > 2) { setTimeout(() => { throw new TypeError("lost its device"); }); await milliseconds(1e6); }';
      for (const rows of await rowsWith({ run: crash }))
        expectFailure(rows, /^failed in round 1 of 3: faulty: ended with code 1: TypeError: lost its device$/);
    });

    it('at close', async () => {
      for (const rows of await rowsWith({ close: 'process.exit(8);' }))
        expectFailure(rows, /^failed at close: faulty: ended with code 8/);
    });

    it('by an answer that never comes, from a process that waits or computes @slow', async () => {
      const limit = { answerSeconds: 5 };
      for (const rows of await rowsWith({ run: 'await milliseconds(1e6);' }, limit))
        expectFailure(rows, /^failed: faulty: gave no answer within 5 s$/);
      for (const rows of await rowsWith({ run: 'if (runs > 2) for (;;);' }, limit))
        expectFailure(rows, /^failed in round 1 of 3: faulty: gave no answer within 5 s$/);
    });
  });

  it('throws where the yardstick fails', async () => {
    parties = [faulty(folder, 'own', { run: 'process.exit(9);' }), fake(folder, 'other', 1, 'return [1];')].map(
      (entry) => new PartyProcess(entry),
    );
    const error = await compare({ kind: 'matmul', size: 4 }, parties, options).catch((cause: unknown) => cause);
    expect(error).to.include({ name: 'LinbpError', code: 'internal' });
    expect((error as Error).message).to.contain('own: ended with code 9');
  });

  it('ends a turn at once when the signal fires, with the error code of an interruption', async () => {
    parties = [fake(folder, 'own', 1, 'return [1];'), faulty(folder, 'slow', { run: 'for (;;);' })].map(
      (entry) => new PartyProcess(entry),
    );
    const stop = new AbortController();
    const onProgress = (text: string): void => void (text.includes('slow') && setTimeout(() => stop.abort(), 500));
    const begin = performance.now();
    const error = await compare({ kind: 'matmul', size: 4 }, parties, {
      ...options,
      signal: stop.signal,
      onProgress,
    }).catch((cause: unknown) => cause);
    expect(error).to.include({ name: 'LinbpError', code: 'aborted' });
    expect(performance.now() - begin).to.be.below(20_000);
  });

  it('finds the line of an error output that says what happened', () => {
    const node =
      "file:///peer.mjs:3\n  throw new RangeError('x');\n  ^\n\nRangeError: no room\n    at run " +
      '(file:///peer.mjs:3)\n\nNode.js v20\n';
    expect(reasonIn(node)).to.equal('RangeError: no room');
    const python = 'Traceback (most recent call last):\n  File "x.py", line 1\nRuntimeError: CUDA\n';
    expect(reasonIn(python)).to.equal('RuntimeError: CUDA');
    expect(reasonIn('double free\nAborted\n\n')).to.equal('Aborted');
    expect(reasonIn('')).to.equal('it wrote no reason');
  });

  it('tells of each party whether its polling is throttled, as it is in its process @slow', async () => {
    const state = "return [globalThis[Symbol.for('linbp.polling')]?.enabled ? 1 : 0];";
    const peer = { ...faulty(folder, 'peer', { result: state }), browser: true };
    const plain = faulty(folder, 'plain', { result: state });
    const before = process.env['LINBP_NO_THROTTLE'];
    try {
      for (const throttled of [true, false]) {
        process.env['LINBP_NO_THROTTLE'] = throttled ? '0' : '1';
        const told = throttledParties([ownParty, peer, plain]);
        expect(told).to.deep.equal({ linbp: throttled, peer: throttled, plain: false });
        parties = [peer, plain].map((entry) => new PartyProcess(entry));
        for (const party of parties) {
          await party.ask({ call: 'open', workload: { kind: 'matmul', size: 4 } });
          const { result } = await party.ask({ call: 'result' });
          expect(result![0], party.entry.name).to.equal(told[party.entry.name] ? 1 : 0);
          party.end();
        }
      }
    } finally {
      if (before === undefined) delete process.env['LINBP_NO_THROTTLE'];
      else process.env['LINBP_NO_THROTTLE'] = before;
    }
  });

  it('draws the same data in every process', async () => {
    const [one, two] = [
      await makeWorkload({ kind: 'training', model: 'mlp', batch: 4 }),
      await makeWorkload({ kind: 'training', model: 'mlp', batch: 4 }),
    ];
    expect(one).to.deep.equal(two);
  });
});
