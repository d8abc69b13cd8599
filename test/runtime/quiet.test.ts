import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { pending } from '../support/pending.js';

const module = new URL('../../src/runtime/quiet.js', import.meta.url).href;

/** Writes as Dawn does: to the descriptor, between other lines. */
const script = `
  import { writeSync } from 'node:fs';
  import { hideLimitWarnings, quietly } from ${JSON.stringify(module)};
  hideLimitWarnings();
  writeSync(2, 'before\\n');
  for (const other of ['', 'Warning: another\\n'])
    quietly(() => {
      for (const name of ['Uniform', 'Storage'])
        writeSync(2, \`Warning: maxDynamic\${name}BuffersPerPipelineLayout artificially reduced from 500000 to 11\\n\`);
      writeSync(2, other);
    });
  writeSync(2, 'after\\n');`;

const expected = 'before\nWarning: another\nafter\n';

describe('warnings of Dawn about limits', () => {
  before(function () {
    if (process.platform !== 'linux') pending(this, 'Linux');
  });

  it('stay out of a file that other programs go on writing to, of one opened for appending, and of a pipe', () => {
    const folder = mkdtempSync(join(tmpdir(), 'linbp-quiet-'));
    try {
      const program = join(folder, 'program.mjs');
      writeFileSync(program, script);
      for (const flags of ['w', 'a']) {
        const path = join(folder, flags);
        const file = openSync(path, flags);
        // The shell's own line comes after the program's, at the place that both share.
        const line = `"${process.execPath}" "${program}"; echo shell >&2`;
        const { status } = spawnSync('sh', ['-c', line], { stdio: ['ignore', 'ignore', file] });
        closeSync(file);
        expect(status).to.equal(0);
        expect(readFileSync(path, 'utf8')).to.equal(`${expected}shell\n`);
      }
      // Node itself gives children sockets, which cannot be opened again.
      const shell = spawnSync('sh', ['-c', `"${process.execPath}" "${program}" 2>&1 >/dev/null | cat`], {
        encoding: 'utf8',
      });
      expect(shell.stdout).to.equal(expected);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
