import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { encodePng } from '../../src/io/png.js';
import { expectError, linbpEach } from '../cli/support.js';
import { temporaryFolder } from '../io/support.js';
import { put } from '../data/support.js';
import { spoiled } from './support.js';

describe('figures at the command line', function () {
  this.timeout(180_000);
  const folder = temporaryFolder();

  it('every verb says diverged, by one line that names the weight, and writes nothing', async () => {
    const weights = join(folder(), 'nan.safetensors');
    const definition = modelDefinition('mlp');
    const [first] = [...spoiled(definition, '', 0).keys()] as [string];
    await writeSafetensors(weights, spoiled(definition, first, NaN, 3));
    const images = { shape: [1, 1, 28, 28], data: new Float32Array(784) };
    await writeSafetensors(join(folder(), 'in.safetensors'), {
      input: images,
      labels: { shape: [1], data: Int32Array.of(1) },
    });
    const common = ['--model', 'mlp', '--weights', weights, '--device', 'reference'];
    const out = (name: string) => ['--out', join(folder(), name)];
    const verbs = [
      ['eval', ...common, '--limit', '4'],
      ['attack', ...common, '--limit', '4', ...out('attack')],
      ['train', ...common, '--limit', '4', ...out('train')],
      ['grad', ...common, '--inputs', join(folder(), 'in.safetensors'), ...out('grad.safetensors')],
      [
        'attack',
        '--model',
        'mlp',
        '--device',
        'reference',
        '--victims',
        `mlp=${weights}`,
        '--limit',
        '2',
        ...out('victims'),
      ],
    ];
    for (const ended of await linbpEach(verbs)) expectError(ended, `weight ${first}[3] is NaN`);
    for (const name of ['attack', 'train', 'grad.safetensors', 'victims'])
      expect(existsSync(join(folder(), name)), name).to.equal(false);
  });

  it('a folder without a test half gives no test figures, a validation split does @slow', async () => {
    const png = (shade: number) =>
      encodePng({ channels: 1, height: 28, width: 28, data: new Uint8Array(784).fill(shade) });
    for (let label = 0; label < 10; label++)
      for (let n = 0; n < 2; n++) put(join(folder(), 'images'), `${label}/${n}.png`, png(20 * label + n));
    const dataset = ['--dataset', `folder:${join(folder(), 'images')}`, '--model', 'mlp', '--device', 'reference'];
    const train = ['train', ...dataset, '--epochs', '1', '--batch', '20'];
    const [plain, split] = await linbpEach([
      [...train, '--out', join(folder(), 'plain')],
      [...train, '--validation-split', '0.2', '--out', join(folder(), 'split')],
    ]);
    expect(plain!.code, plain!.stderr).to.equal(0);
    expect(plain!.stdout).not.to.match(/accuracy/);
    expect(plain!.stderr).to.match(/no test figures/);
    expect(split!.code, split!.stderr).to.equal(0);
    expect(split!.stdout).to.match(/validation accuracy/);
  });

  it('attacks write into folders of their own, or of earlier runs, and nowhere else', async () => {
    const foreign = join(folder(), 'foreign');
    mkdirSync(foreign);
    writeFileSync(join(foreign, 'notes.txt'), 'mine');
    const attack = ['attack', '--model', 'mlp', '--attack', 'fgsm', '--device', 'reference', '--limit', '1', '--out'];
    const [refused] = await linbpEach([[...attack, foreign]]);
    expectError(refused!, 'is not empty');
    expect(readdirSync(foreign)).to.deep.equal(['notes.txt']);
  });
});
