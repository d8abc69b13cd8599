import { expect } from 'chai';
import { coloredDigits } from '../../src/data/coloredDigits.js';
import { adversarialTraining } from '../../src/experiments/adversarialTraining.js';
import { whiteboxCifar10 } from '../../src/experiments/whitebox.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { temporaryFolder } from '../io/support.js';
import { seenClasses, smallest, writeCifarFolder } from './support.js';

/** A data folder with a small network's random weights and six images, labeled as the network sees them. */
async function dataFolder(folder: string): Promise<string> {
  const network = 'convnetjs-cnn';
  const state = initialState(modelDefinition(network), 3);
  // Without biases the images alone decide, so that small changes of them can.
  for (const [name, { data }] of state) if (name.endsWith('bias')) data.fill(0);
  const images = Uint8Array.from(coloredDigits('test', 6).images);
  const labels = await seenClasses(network, state, images);
  return writeCifarFolder(folder, new Map([[network, state]]), images, [...labels.entries()]);
}

interface Found {
  readonly network: string;
  readonly method: string;
  readonly rule: string;
  readonly eps: number;
  readonly successRate: number;
  readonly curve: readonly { step: number }[];
}

describe('attack experiments', () => {
  const folder = temporaryFolder();

  for (const compat of ['none', 'official'] as const) {
    it(`white-box attacks with both rules, conventions ${compat} @slow`, async () => {
      const result = await whiteboxCifar10.run(await smallest({ dataFolder: await dataFolder(folder()), compat }));
      const rows = result.figures['results'] as Found[];
      expect(rows).to.have.length(4 * 2 * 3);
      for (const method of ['fgsm', 'ifgsm', 'pgd', 'apgd']) {
        for (const rule of ['bp', 'linbp']) {
          const own = rows.filter((row) => row.method === method && row.rule === rule);
          expect(own.map((row) => Math.round(255 * row.eps))).to.deep.equal([1, 2, 8]);
          // Random weights have hardly any margin: the largest radius moves every image over some border under the
          // true gradient.
          if (rule === 'bp') expect(own.at(-1)!.successRate, method).to.be.above(0.5);
          for (const { curve } of own) expect(curve.at(-1)!.step).to.equal(method === 'fgsm' ? 1 : 5);
        }
      }
      expect(result.statements).to.have.length(4);
      const box = result.settings.find(({ name }) => name === 'box')!;
      expect(box.ours.includes('normalized')).to.equal(compat === 'official');
    });
  }

  it('adversarial training with all four combinations of rules, judged by PGD and APGD-CE @slow', async () => {
    const result = await adversarialTraining.run(await smallest({ dataset: 'digits' }));
    const { runs } = result.figures as {
      runs: { attackRule: string; weightRule: string; losses: number[]; robust: number[]; robustApgd: number[] }[];
    };
    expect(runs.map(({ attackRule, weightRule }) => `${attackRule} ${weightRule}`)).to.deep.equal([
      'bp bp',
      'linbp bp',
      'bp linbp',
      'linbp linbp',
    ]);
    for (const { losses, robust, robustApgd } of runs) {
      expect(losses.every(Number.isFinite)).to.equal(true);
      expect(robust.length).to.equal(16);
      expect(robustApgd.length).to.equal(16);
    }
    // The rule of the inner attack alone changes what is trained, and so does that of the weights.
    expect(new Set(runs.map(({ losses }) => losses.at(-1))).size).to.equal(4);
    expect(result.statements).to.have.length(6);
  });
});
