import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { attack, attacks } from '../../src/attacks/index.js';
import type { AttackDefinition, AttackResult } from '../../src/attacks/index.js';
import { gradientSamplings, inputTransforms } from '../../src/attacks/transfer.js';
import { root, runNode } from '../cli/support.js';
import { eightBitImages, linearModel, modelWith, numbers, predicted } from '../attacks/support.js';

describe('documentation of attacks', () => {
  it('the list of attacks is current', async () => {
    const ended = await runNode(['scripts/attack-table.mjs', '--check']);
    expect(ended.code, ended.stderr).to.equal(0);
  });

  it('the table of what can be combined has every gradient and transform', () => {
    const page = readFileSync(join(root, 'docs', 'attacks-engine.md'), 'utf8');
    for (const [row, table] of Object.entries({ gradients: gradientSamplings, transforms: inputTransforms })) {
      const [, cell = ''] = new RegExp(`^\\| ${row} \\| (.*) \\|$`, 'm').exec(page) ?? [];
      const named = [...cell.split(';')[0]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
      expect(named, row).to.have.members(Object.keys(table));
    }
  });

  const text = readFileSync(join(root, 'docs', 'adding-attack.md'), 'utf8');
  const blocks = new Map([...text.matchAll(/^```js (\w+)\n([^]*?)^```$/gm)].map(([, name, code]) => [name!, code!]));
  const bases = { attack: attacks.ifgsm, transform: attacks.mifgsm, objective: attacks.pgd } as const;

  it('has an attack, a transform and an objective of about twenty lines each', () => {
    expect([...blocks.keys()]).to.deep.equal(Object.keys(bases));
    for (const [name, code] of blocks) expect(code.trim().split('\n').length, name).to.be.at.most(24);
  });

  for (const name of Object.keys(bases) as (keyof typeof bases)[])
    it(`the ${name} runs on the device as in float64, inside the ball, and does something of its own`, async () => {
      // Inside the package, so that the name linbp finds it.
      const folder = mkdtempSync(join(root, 'dist', 'docs-'));
      let mine: AttackDefinition;
      try {
        const path = join(folder, `${name}.mjs`);
        writeFileSync(path, blocks.get(name)!);
        ({ mine } = (await import(pathToFileURL(path).href)) as { mine: AttackDefinition });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
      const [classes, count, eps] = [4, 6, 0.1];
      const weights = new Map([
        ['fc.weight', { shape: [classes, 36], data: numbers(3, classes * 36, -1, 1) }],
        ['fc.bias', { shape: [classes], data: new Float32Array(classes) }],
      ]);
      using model = await modelWith(linearModel([1, 6, 6], classes), weights);
      const images = eightBitImages(7, count * 36);
      const labels = await predicted(model, images);
      const run = (definition: AttackDefinition, device: 'gpu' | 'reference'): Promise<AttackResult> => {
        const host = { definition: model.definition, weights };
        const own = { model: device === 'gpu' ? model : host, device, attack: definition, keep: 'last' as const };
        return attack({ ...own, eps, alpha: 0.013, steps: 6, images, labels });
      };
      const [here, exact, base] = [await run(mine, 'gpu'), await run(mine, 'reference'), await run(bases[name], 'gpu')];
      for (let i = 0; i < images.length; i++)
        expect(Math.abs(here.images[i]! - images[i]!)).to.be.at.most(eps + 2 ** -24);
      const differing = here.images.filter((pixel, i) => Math.abs(pixel - exact.images[i]!) > 1e-4).length;
      expect(differing / images.length).to.be.below(0.03);
      // On a linear network every sign of a single gradient is the same; momentum and losses show in the losses.
      if (name !== 'attack') expect(here.losses, 'differs from what it is made of').to.not.deep.equal(base.losses);
      expect(here.samples.every(({ loss, cleanLoss }) => loss > cleanLoss)).to.equal(true);
    });
});
