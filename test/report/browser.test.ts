import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../cli/support.js';
import { pending } from '../support/pending.js';

describe('reports in a browser', () => {
  it('hover, zoom, sort, filter, dark and narrow pages, names that try to be HTML @slow', function () {
    if (process.env['LINBP_SLOW'] === undefined) return pending(this, 'LINBP_SLOW=1');
    this.timeout(900_000);
    const script = join(root, 'scripts/check-browser.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
    // Without a Chromium there is nothing to try.
    if (stdout.startsWith('skipped:')) return pending(this, 'Chromium');
    expect(status, `${stdout}\n${stderr}`).to.equal(0);
    expect(Number(/^(\d+) checks of reports in a browser passed$/m.exec(stdout)?.[1])).to.be.above(60);
  });
});
