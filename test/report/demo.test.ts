import { expect } from 'chai';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { escapeHtml } from '../../src/report/index.js';
import { linbp } from '../cli/support.js';
import { expectNumbers, expectSelfContained, expectWellFormed } from './support.js';

interface DemoJson {
  readonly verdicts: readonly string[];
  readonly leaderboard: readonly {
    rule: string;
    victims: { model: string; accuracy: number; low: number; high: number }[];
  }[];
  readonly training: readonly {
    rule: string;
    lr: number;
    seed: number;
    diverged: boolean;
    epochs: { trainLoss: number }[];
  }[];
  readonly adapter: { description: string };
}

describe('linbp demo', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'linbp-demo-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('writes a report whose sentences and numbers are those of the JSON @slow', async function () {
    this.timeout(300_000);
    const [out, file] = [join(folder, 'report'), join(folder, 'demo.json')];
    const run = await linbp(['demo', '--minutes', '0.05', '--out', out, '--json', file], { LINBP_DATA: '' });
    expect(run.code, run.stderr).to.equal(0);
    expect(readdirSync(out).sort()).to.deep.equal(['linbp-manifest.json', 'report.html']);
    const html = readFileSync(join(out, 'report.html'), 'utf8');
    const json = JSON.parse(readFileSync(file, 'utf8')) as DemoJson;
    const printed = run.stdout.trim().split('\n');
    expect(printed.at(-1)).to.equal(`report ${pathToFileURL(join(out, 'report.html')).href}`);
    expect(printed.slice(0, -1)).to.deep.equal(json.verdicts);
    expectWellFormed(html);
    expectSelfContained(html);
    expectNumbers(html);
    for (const sentence of json.verdicts) expect(html).to.include(`<li>${escapeHtml(sentence)}</li>`);
    expect(html).to.include(json.adapter.description);
    expect(json.leaderboard[0]!.rule).to.equal('bp');
    expect(json.leaderboard.map(({ rule }) => rule)).to.include.members(['bpa', 'half']);
    for (const { victims } of json.leaderboard) {
      expect(victims.map(({ model }) => model)).to.deep.equal(['lenet5', 'mlp', 'mlp-300-100']);
      for (const { accuracy, low, high } of victims) {
        expect(accuracy).to.be.within(low, high);
        expect(html).to.include(`>${(100 * accuracy).toFixed(1)} (`);
      }
    }
    expect(new Set(json.training.map(({ lr }) => lr))).to.deep.equal(new Set([0.05, 0.1, 0.2, 0.4]));
    const runs = (wanted: string): string[] =>
      json.training.filter(({ rule }) => rule === wanted).map(({ lr, seed }) => `${lr} ${seed}`);
    expect(runs('bp')).to.deep.equal(runs('linbp'));
    expect(html.match(/data:image\/png;base64,/g)!.length).to.be.at.least(5);
  });

  it('refuses a folder that it cannot write to, before any work', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const run = await linbp(['demo', '--out', join(file, 'inside')]);
    expect(run.code).to.equal(1);
    expect(run.stderr).to.match(/^error: cannot write in folder .*\n$/);
  });
});
