import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { readJson, root } from '../cli/support.js';
import type { Ended } from '../cli/support.js';

/**
 * Runs `linbp` as a terminal does, in a process group of its own, and sends the whole group Ctrl-C once `seen` holds
 * of what it printed.
 */
function interrupted(args: readonly string[], seen: (stdout: string) => boolean, delay: number): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['bin/linbp.js', ...args], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const text = { stdout: '', stderr: '' };
    let sent = false;
    child.stderr.on('data', (bytes: Buffer) => (text.stderr += bytes.toString()));
    child.stdout.on('data', (bytes: Buffer) => {
      text.stdout += bytes.toString();
      if (sent || !seen(text.stdout)) return;
      sent = true;
      setTimeout(() => process.kill(-child.pid!, 'SIGINT'), delay);
    });
    child.on('close', (code) => resolve({ code, ...text }));
  });
}

describe('Ctrl-C during a benchmark', () => {
  it('keeps the rows so far as JSON, Markdown and chart, and ends with exit code 130 @slow', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'linbp-test-'));
    try {
      const json = join(folder, 'bench.json');
      const args = [
        'bench',
        '--only',
        'forward',
        '--peers',
        'none',
        '--rounds',
        '3',
        '--turn',
        '100000',
        '--out',
        folder,
        '--json',
        json,
      ];
      // The second network is at work when the signal comes, in a turn of a hundred seconds.
      const ended = await interrupted(args, (stdout) => stdout.includes('forward lenet5'), 1500);
      expect(ended.code, ended.stderr).to.equal(130);
      expect(ended.stderr).to.contain('interrupted; what was done until then is kept').and.not.to.contain('fault');
      const result = readJson(json);
      expect(result['interrupted']).to.equal(true);
      const rows = result['rows'] as { name: string; rounds: number }[];
      expect(rows.map(({ name }) => name.split(',')[0]))
        .to.include('forward lenet5')
        .and.not.to.include('forward resnet20');
      expect(rows[0]!.rounds).to.equal(3);
      expect((result['settings'] as { pollingThrottled: unknown }).pollingThrottled).to.deep.equal({ linbp: true });
      expect(readFileSync(join(folder, 'benchmarks.md'), 'utf8')).to.contain('| forward lenet5, batch 64 | linbp |');
      expect(readFileSync(join(folder, 'benchmarks.svg'), 'utf8')).to.match(/^<svg/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
