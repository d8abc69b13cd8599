import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../cli/support.js';

/** Files of src, by their path there. */
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => [name.replaceAll('\\', '/'), readFileSync(join(root, 'src', name), 'utf8')] as const);

const using = (pattern: RegExp): string[] =>
  sources.flatMap(([name, text]) => (pattern.test(text) ? [name] : [])).sort();

/*
 * One mechanism a kind: whoever reads or writes a user's file does so through the helper that bounds, checks and keeps.
 */

describe('files are read and written in few places', () => {
  it('readers of what others wrote open regular files of bounded size, through io/read', () => {
    // Files of the package itself and of the system, whose content nobody sends.
    const own = ['bench/peers.ts', 'cli/bench.ts', 'report/page.ts', 'runtime/processor.ts', 'runtime/quiet.ts'];
    const allowed = [...own, 'kernels/software/processor.ts', 'version.ts', 'wgsl/link.ts'];
    // Those who keep a file open for a device, or read back what they have just written.
    const helpers = ['io/atExit.ts', 'io/atomic.ts', 'io/lock.ts', 'io/read.ts'];
    expect(using(/\b(readFileSync|readFile|openSync|createReadStream)\(|(await|=>|return) open\(\w/)).to.deep.equal(
      [...allowed, ...helpers].sort(),
    );
  });

  it('writers replace files whole, through io/atomic', () => {
    expect(using(/\b(writeFileSync|writeFile|createWriteStream|appendFileSync)\(/)).to.deep.equal(
      // What must not be there before: a lock, and a record of a store.
      ['io/lock.ts', 'jobs/directoryStore.ts'],
    );
  });

  it('limits to float64 alone are nowhere beside numbers that devices compute with', () => {
    // Number.isFinite of an option that becomes a scalar of a shader misses 1e39.
    const found = sources.flatMap(([name, text]) =>
      /^(attacks|train|rules)\//.test(name)
        ? [...text.matchAll(/check\(\s*Number\.isFinite\((?!Math\.fround)[^)]*\)/g)].map(([hit]) => `${name}: ${hit}`)
        : [],
    );
    expect(found).to.deep.equal([]);
  });
});
