import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { linbp, readJson, runNode, scratchFolder } from '../cli/support.js';
import type { Ended } from '../cli/support.js';
import { pending } from '../support/pending.js';

interface Summary {
  readonly steps: readonly {
    readonly step: string;
    readonly ok: boolean;
    readonly passes?: number;
    readonly pending?: readonly string[];
  }[];
}

/** The packed folder, uncompressed, on a machine where PATH and HOME are empty. */
describe('archive for machines with nothing but a driver', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let folder: string;
  let packed: Ended;

  /** Runs a program of the archive from an empty folder, without any environment. */
  const bare = (program: string, args: readonly string[]): Pick<Ended, 'code' | 'stdout' | 'stderr'> => {
    const cwd = join(scratch, 'elsewhere');
    mkdirSync(cwd, { recursive: true });
    const { status, stdout, stderr } = spawnSync(join(folder, program), args, {
      cwd,
      env: {},
      encoding: 'utf8',
      timeout: 100_000,
    });
    return { code: status, stdout, stderr };
  };
  const summary = (out: string): Summary => JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8')) as Summary;

  before(async function () {
    if (process.platform !== 'linux' || process.arch !== 'x64') pending(this, 'Linux on x64');
    packed = await runNode(['scripts/pack-archive.mjs', '--out', join(scratch, 'archive'), '--no-compress']);
    expect(packed.code, packed.stderr).to.equal(0);
    folder = join(scratch, 'archive', readdirSync(join(scratch, 'archive'))[0]!);
  });

  it('says which glibc and C++ library it needs', () => {
    const needs = readJson(join(folder, 'runtime/needs.json'));
    for (const name of ['glibc', 'glibcxx', 'glibcOfPackedCpp']) {
      expect(needs[name], name).to.match(/^\d+(\.\d+)+$/);
      expect(packed.stdout).to.contain(needs[name]);
    }
  });

  it('has the PyTorch peer, and the tests that its list of parity names', () => {
    for (const file of ['pytorch.mjs', 'pytorch.py'])
      expect(existsSync(join(folder, 'app/benchmarks/peers', file)), file).to.equal(true);
    const tests = readFileSync(join(folder, 'app/parity.txt'), 'utf8').trim().split('\n');
    for (const part of ['golden', 'rules/', 'precision/', 'kernels/winograd'])
      expect(tests.join(), part).to.contain(part);
    for (const test of tests) expect(existsSync(join(folder, 'app', test)), test).to.equal(true);
  });

  it('finds the adapter and computes, with its own Node @slow', async function () {
    const here = join(scratch, 'here.json');
    await linbp(['doctor', '--json', here]);
    // A driver in the cache of this user is none of that machine's.
    if (readJson(here)['driver'] !== 'system') pending(this, "the system's driver");
    const out = join(scratch, 'doctor');
    const ended = bare('check', ['--skip', 'parity,tune,bench', '--out', out]);
    expect(ended.code, ended.stderr).to.equal(0);
    expect(summary(out).steps.map(({ step, ok }) => [step, ok])).to.deep.equal([['doctor', true]]);
    const [there, adapter] = [join(out, 'doctor.json'), readJson(here)['adapter']];
    expect(readJson(there)['adapter']).to.deep.equal(adapter);
  });

  it('refuses what a later step would refuse, before any work', () => {
    const out = join(scratch, 'refused');
    for (const [args, message] of [
      [['--rounds', '2'], '--rounds must be a whole number from 3 to 1000, got "2"'],
      [['--skip', 'doctor,tests'], 'there is no step "tests"; there are doctor, parity, tune, bench'],
      [['--batches', '128,0'], '--batches must be whole numbers from 1 to 65536, got "128,0"'],
      [['--model', 'resnet51'], 'there is no model "resnet51"'],
      [['--fast'], "Unknown option '--fast'; there are --out"],
      [['--share', '2'], '--share must be a number from 0 to 1, got "2"'],
      [['--products', 'huge'], '--products must be one of auto, large, small, got "huge"'],
    ] as const) {
      const ended = bare('check', [...args, '--out', out]);
      expect(ended.code, args.join(' ')).to.equal(1);
      expect(ended.stderr.trim().split('\n'), args.join(' ')).to.have.length(1);
      expect(ended.stderr).to.contain(`error: `).and.contain(message);
    }
    expect(existsSync(out)).to.equal(false);
  });

  it('tells what was skipped, and takes a run in which nothing passed for a failure', () => {
    const list = join(folder, 'app/parity.txt');
    const before = readFileSync(list, 'utf8');
    const test = (name: string, body: string): void => {
      writeFileSync(join(folder, `app/dist/test/${name}.test.js`), body);
      writeFileSync(list, `dist/test/${name}.test.js\n`);
    };
    try {
      const out = join(scratch, 'parity');
      test('nothing', "it.skip('needs half precision');");
      const nothing = bare('check', ['--skip', 'doctor,tune,bench', '--out', out]);
      expect(nothing.code).to.equal(1);
      expect(nothing.stderr).to.contain('FAILED').and.contain('0 passed, 1 skipped, 0 failed');
      expect(summary(out).steps[0]).to.deep.include({
        step: 'parity',
        ok: false,
        passes: 0,
        pending: ['needs half precision'],
      });
      test('something', "it('adds', () => {}); it.skip('needs half precision');");
      const something = bare('check', ['--skip', 'doctor,tune,bench', '--out', out]);
      expect(something.code, something.stderr).to.equal(0);
      expect(something.stderr).to.contain('1 passed, 1 skipped, 0 failed');
    } finally {
      writeFileSync(list, before);
    }
  });
});
