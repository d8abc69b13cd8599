import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { linbpEach, readJson, scratchFolder } from './support.js';

describe('what linbp train says about its best epoch', () => {
  const folder = scratchFolder();

  it('names the loss that was watched, and the best weights only where they were kept', async () => {
    // Equal images and a rate that changes nothing: no epoch is better than the first.
    const data = join(folder, 'equal.safetensors');
    writeSafetensors(data, {
      images: { shape: [8, 1, 28, 28], data: new Uint8Array(8 * 784) },
      labels: { shape: [8], data: new Int32Array(8) },
    });
    const train = [
      'train',
      '--model',
      'mlp',
      '--dataset',
      data,
      '--device',
      'reference',
      '--lr',
      '1e-30',
      '--batch',
      '8',
    ];
    const out = join(folder, 'run');
    const best = join(out, 'mlp.best.safetensors');
    const json = join(folder, 'result.json');
    const [kept] = await linbpEach([[...train, '--out', out, '--epochs', '9', '--patience', '1', '--keep-best']]);
    expect(kept!.code, kept!.stderr).to.equal(0);
    expect(kept!.stdout).to.match(/stopped early: no better training loss since epoch 1$/m);
    expect(kept!.stdout).to.match(/^best +\S+mlp\.best\.safetensors \(epoch 1\)$/m);
    expect(existsSync(best)).to.equal(true);
    const [fresh] = await linbpEach([[...train, '--out', out, '--epochs', '1']]);
    expect(fresh!.code, fresh!.stderr).to.equal(0);
    expect(existsSync(best), 'of the run before').to.equal(false);
    const [late] = await linbpEach([
      [...train, '--out', out, '--epochs', '2', '--schedule', 'cosine', '--resume', '--keep-best', '--json', json],
    ]);
    expect(late!.code, late!.stderr).to.equal(0);
    expect(late!.stdout).to.match(/^best +epoch 1, whose weights were not kept then$/m);
    expect(existsSync(best)).to.equal(false);
    expect(readJson(json)).not.to.have.property('best');
  });
});
