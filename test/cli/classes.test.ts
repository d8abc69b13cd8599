import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadDataset } from '../../src/data/load.js';
import { encodePng } from '../../src/io/png.js';
import { uniforms } from '../../src/random/philox.js';
import { balancedClassWeights } from '../../src/train/classWeights.js';
import { put } from '../data/support.js';
import { linbpEach, readJson, scratchFolder, writeFormulaWeights } from './support.js';

describe('classes on the command line', function () {
  this.timeout(120_000);
  const folder = scratchFolder();
  const at = (name: string): string => join(folder, name);

  it('train --class-weights balanced --drop-last: as with those weights given, whole batches only @slow', async () => {
    // Of 75 digits some classes have more than others, and 16 does not divide them.
    const balanced = balancedClassWeights(await loadDataset({ dataset: 'digits', split: 'train', limit: 75 }));
    expect(new Set(balanced).size).to.be.above(1);
    const train = ['train', '--model', 'mlp', '--limit', '75', '--test-limit', '10', '--epochs', '2', '--batch', '16'];
    const runs = {
      balanced: ['--class-weights', 'balanced', '--drop-last'],
      written: ['--class-weights', balanced.join(), '--drop-last'],
      equal: ['--drop-last'],
      whole: ['--class-weights', 'balanced'],
    };
    const ended = await linbpEach(
      Object.entries(runs).map(([name, more]) => [...train, ...more, '--out', at(name), '--json', at(`${name}.json`)]),
    );
    for (const each of ended) expect(each.code, each.stderr).to.equal(0);
    const steps = (name: keyof typeof runs): unknown => readJson(at(`${name}.json`))['steps'];
    expect(['balanced', 'written', 'equal', 'whole'].map((name) => steps(name as keyof typeof runs))).to.deep.equal([
      8, 8, 8, 10,
    ]);
    const weights = (name: keyof typeof runs): Buffer => readFileSync(join(at(name), 'mlp.safetensors'));
    expect(weights('balanced').equals(weights('written'))).to.equal(true);
    expect(weights('balanced').equals(weights('equal'))).to.equal(false);
  });

  it('attack --targeted aims at the classes of a NIPS 2017 table, unless --target-shift is there @slow', async () => {
    const rows = [
      ['c7', 3, 1],
      ['a1', 1, 10],
      ['b4', 10, 4],
      ['d2', 6, 2],
    ] as const;
    const lines = [
      'ImageId,URL,TrueLabel,TargetClass',
      ...rows.map(([id, label, target]) => `${id},u,${label},${target}`),
    ];
    put(folder, 'nips/images.csv', `${lines.join('\n')}\n`);
    for (const [n, [id]] of rows.entries()) {
      const data = Uint8Array.from(uniforms(7, n, 0, 0, 784), (value) => 256 * value);
      put(folder, `nips/images/${id}.png`, encodePng({ width: 28, height: 28, channels: 1, data }));
    }
    const attack = ['attack', '--model', 'mlp', '--weights', await writeFormulaWeights(folder, 'mlp'), '--targeted'];
    const how = ['--dataset', `folder:${at('nips')}`, '--device', 'reference', '--eps', '0.5', '--steps', '10'];
    const ended = await linbpEach([
      [...attack, ...how, '--json', at('table.json')],
      [...attack, ...how, '--target-shift', '3', '--json', at('shift.json')],
    ]);
    for (const each of ended) expect(each.code, each.stderr).to.equal(0);
    const [table, shift] = ['table', 'shift'].map(
      (name) => readJson(at(`${name}.json`))['images'] as Record<string, number | boolean>[],
    ) as [Record<string, number | boolean>[], Record<string, number | boolean>[]];
    expect(table.map(({ label, target }) => [label, target])).to.deep.equal(rows.map(([, a, b]) => [a - 1, b - 1]));
    expect(shift.map(({ label, target }) => [label, target])).to.deep.equal(rows.map(([, a]) => [a - 1, (a + 2) % 10]));
    for (const { clean, final, label, target, success } of [...table, ...shift])
      expect(success).to.equal(clean === label && final === target);
    // Steps of this size reach whatever class they go to, so it shows where they went.
    for (const { final, target } of [...table, ...shift]) expect(final).to.equal(target);
  });
});
