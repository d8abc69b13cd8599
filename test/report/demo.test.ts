import { expect } from 'chai';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linbp } from '../cli/support.js';
import { expectNumbers, expectSelfContained, expectWellFormed } from './support.js';

interface DemoJson {
  readonly training: readonly {
    rule: string;
    steps: number;
    losses: number[];
    epochs: { testAccuracy: number; trainLoss: number }[];
  }[];
  readonly attacks: readonly {
    rule: string;
    eps: number;
    robustAccuracy: number;
    transferAccuracy: number;
    curve: { step: number }[];
    readbacks: number;
  }[];
  readonly profiles: Readonly<
    Record<
      'train' | 'attack',
      readonly { label: string; spanMicroseconds: number; dispatches: { microseconds: number }[] }[]
    >
  >;
  readonly adapter: { description: string };
}

describe('linbp demo', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'linbp-demo-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('writes a report with every section, whose numbers are those of the JSON', async function () {
    this.timeout(300_000);
    const [out, file] = [join(folder, 'report'), join(folder, 'demo.json')];
    const run = await linbp(['demo', '--minutes', '0.1', '--out', out, '--json', file], { LINBP_DATA: '' });
    expect(run.code, run.stderr).to.equal(0);
    expect(run.stdout.trim().split('\n').at(-1)).to.equal(`report ${join(out, 'report.html')}`);
    expect(readdirSync(out).sort()).to.deep.equal(['lenet5-bp.safetensors', 'lenet5-linbp.safetensors', 'report.html']);
    const html = readFileSync(join(out, 'report.html'), 'utf8');
    const json = JSON.parse(readFileSync(file, 'utf8')) as DemoJson;
    expectWellFormed(html);
    expectSelfContained(html);
    expectNumbers(html);
    for (const section of ['Training', 'Attacks', 'Images', 'Shaders', 'Machine and settings'])
      expect(html).to.include(`<h2>${section}</h2>`);
    expect(html).to.include(json.adapter.description);
    expect(json.training.map((training) => training.rule)).to.deep.equal(['bp', 'linbp']);
    expect(json.training[0]!.steps).to.equal(json.training[1]!.steps);
    for (const { epochs, losses, steps } of json.training) {
      expect(losses).to.have.length(steps);
      expect(html)
        .to.include(`>${(100 * epochs.at(-1)!.testAccuracy).toFixed(2)}</td>`)
        .and.to.include(`>${epochs.at(-1)!.trainLoss.toFixed(4)}</td>`);
    }
    expect(json.attacks.length).to.be.at.least(4);
    for (const { robustAccuracy, transferAccuracy, curve } of json.attacks) {
      expect(html)
        .to.include(`>${(100 * robustAccuracy).toFixed(1)}</td>`)
        .and.to.include(`>${(100 * transferAccuracy).toFixed(1)}</td>`);
      expect(curve).to.have.length(21);
    }
    for (const profile of [...json.profiles.train, ...json.profiles.attack]) {
      expect(html).to.include(`>${profile.spanMicroseconds.toFixed(1)}</td>`);
      for (const { microseconds } of profile.dispatches) expect(html).to.include(`>${microseconds.toFixed(1)}</td>`);
    }
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
