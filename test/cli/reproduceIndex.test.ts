import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { earlierEntries, indexFile, mergedEntries } from '../../src/cli/reproduceIndex.js';
import type { IndexEntry } from '../../src/cli/reproduceIndex.js';
import { indexReport } from '../../src/cli/reproduceReport.js';
import { experiments } from '../../src/experiments/index.js';
import { summaryOf } from '../../src/experiments/types.js';
import type { AdapterInfo } from '../../src/runtime/adapter.js';
import { scratchFolder } from './support.js';
import { expectLinbpError } from '../io/support.js';

const entry = (name: string, text: string): IndexEntry => ({
  ...{ name, summary: `about ${name}`, seconds: 61, options: [['scale', 'ci']] },
  statements: [{ verdict: 'holds', text }],
});

describe('what an experiment says about its data', () => {
  it('a data set stands in a summary only where no other one can take its place', () => {
    for (const { name, summary, datasets } of experiments)
      if (datasets !== undefined) expect(summary, name).not.to.match(/\bon (MNIST|CIFAR)/);
    const [experiment] = experiments;
    const result = { settings: [], curves: [], tables: [], statements: [], figures: {} };
    expect(summaryOf(experiment!, result)).to.equal(experiment!.summary);
    const images = 'digits, 1280 to train';
    expect(summaryOf(experiment!, { ...result, images })).to.equal(`${experiment!.summary}; images: ${images}`);
  });
});

describe('index of reproduced experiments', () => {
  const folder = scratchFolder();

  it('keeps those of earlier runs, and shows the newest of each', async () => {
    expect(await earlierEntries(folder)).to.deep.equal([]);
    const first = mergedEntries([], [entry('mnist-mlp', 'one'), entry('theory', 'two')]);
    writeFileSync(join(folder, indexFile), JSON.stringify(first));
    const second = mergedEntries(await earlierEntries(folder), [entry('mnist-mlp', 'three <img src=x onerror=hit()>')]);
    expect(second.map(({ name }) => name)).to.deep.equal(['mnist-mlp', 'theory']);
    const adapter = { vendor: 'a', architecture: 'b', description: 'c', software: true } as AdapterInfo;
    const html = indexReport(second, { adapter, version: '0' });
    expect(html).to.contain('href="theory.html"').and.to.contain('two').and.to.contain('three &lt;img');
    expect(html).not.to.contain('<img src=x').and.not.to.contain('>one<');
  });

  it('refuses a list that is none', async () => {
    const broken = [{ ...entry('../x', 'a') }, { ...entry('a', 'a'), statements: [{ verdict: 'sure', text: 'a' }] }, 7];
    for (const each of broken) {
      writeFileSync(join(folder, indexFile), JSON.stringify([each]));
      await expectLinbpError(() => earlierEntries(folder), 'bad-file');
    }
  });
});
