import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root, runNode } from '../cli/support.js';

/** What each example must print; the numbers are its own. */
const expected: Readonly<Record<string, RegExp>> = {
  'train.ts': /bp epoch 3: loss [\d.]+, test accuracy [\d.]+\nlinbp epoch 1[^]*linbp epoch 3/,
  'attack.ts': /bp: accuracy [\d.]+ clean, [\d.]+ under attack[^]*linbp: accuracy/,
  'own-network.ts': /9098 parameters, test accuracy [\d.]+\naccuracy under attack [\d.]+/,
  'multi-label.ts': /binary cross entropy [5-7]\.\d+, [3-6]\.\d+, [0-5]\.\d+/,
  'regression.ts': /squared error of a tenth of the digit [\d.]+, [\d.]+, 0\.0\d+/,
  'rule-javascript.ts': /bp: accuracy[^]*hopeful:share=0\.5: accuracy[^]*share=1: accuracy/,
  'rule-wgsl.ts':
    /gpu: accuracy [\d.]+ clean, ([\d.]+) under attack\nreference: accuracy [\d.]+ clean, ([\d.]+) under attack/,
};

describe('examples', () => {
  const names = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'));

  it('each is short and is run here', () => {
    expect(names).to.have.members(Object.keys(expected));
    for (const name of names)
      expect(readFileSync(join(root, 'examples', name), 'utf8').split('\n').length, name).to.be.below(41);
  });

  for (const name of Object.keys(expected)) {
    it(`${name} @slow`, async () => {
      const ended = await runNode([join('dist/examples', name.replace('.ts', '.js'))]);
      expect(ended.code, ended.stderr).to.equal(0);
      const found = expected[name]!.exec(ended.stdout);
      expect(found, ended.stdout).not.to.equal(null);
      // Device and reference may differ where an image lies right on the border.
      const [, device, reference] = found!;
      if (reference !== undefined) expect(Number(device)).to.be.closeTo(Number(reference), 1 / 16 + 1e-6);
    });
  }
});
