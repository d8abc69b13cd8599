import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';

const module = new URL('../../../scripts/setup/progress.mjs', import.meta.url).href;

/** Runs a program on standard error that says it is a terminal of so many columns, and returns what it wrote. */
async function onTerminal(columns: number, program: string, onText?: (written: string) => void): Promise<string> {
  const text = `import { existsSync } from 'node:fs';
    import { say, whileWaiting } from ${JSON.stringify(module)};
    Object.defineProperties(process.stderr, { isTTY: { value: true }, columns: { value: ${columns} } });
    ${program}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: ['ignore', 'ignore', 'pipe'] });
  let written = '';
  child.stderr.on('data', (chunk: Buffer) => {
    written += chunk.toString();
    onText?.(written);
  });
  const [status] = (await once(child, 'close')) as [number];
  expect(status, written).to.equal(0);
  return written;
}

describe('progress of set-up', () => {
  it('says how long, how much and what is left while this thread waits, never wraps, and clears its line', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'linbp-progress-'));
    try {
      mkdirSync(join(folder, 'a'));
      const paths = ['a', 'b'].map((name) => join(folder, name));
      for (const columns of [40, 80]) {
        const seen = join(folder, `seen${columns}`);
        const program = `
          const wait = () => {
            const cell = new Int32Array(new SharedArrayBuffer(4));
            while (!existsSync(${JSON.stringify(seen)})) Atomics.wait(cell, 0, 0, 50);
          };
          whileWaiting('installing npm packages', wait, { unit: 'packages', paths: ${JSON.stringify(paths)} });
          say('done');`;
        // The work ends when some lines were drawn, however busy the machine is.
        const written = await onTerminal(columns, program, (text) => {
          if (text.split('\r\x1b[2K').length > 4) writeFileSync(seen, '');
        });
        const drawn = written.split('\r\x1b[2K').slice(1);
        expect(drawn.length, written).to.be.above(2);
        for (const line of drawn.slice(0, -1)) {
          expect(line.length).to.be.below(columns);
          expect(line).to.match(/^setup: installing npm packages {2}\d+ s/);
          if (columns === 80) expect(line).to.contain('1/2 packages');
        }
        expect(drawn.at(-1)).to.match(/^setup: installing npm packages: \d+ s\nsetup: done\n$/);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('breaks lines between words', async () => {
    const words = 'will store the software driver SwiftShader in a folder of the user (68 MB from the npm registry)';
    const lines = (await onTerminal(48, `say(${JSON.stringify(words)})`)).trimEnd().split('\n');
    for (const line of lines) expect(line.length).to.be.at.most(48);
    expect(lines.join(' ').split(/\s+/).slice(1).join(' ')).to.equal(words);
  });
});
