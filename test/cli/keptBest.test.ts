import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { readSafetensors, tensorAsFloat32, writeSafetensors } from '../../src/io/safetensors.js';
import { expectError, linbpEach, readJson, scratchFolder, writeFormulaWeights } from './support.js';

describe('what linbp train says about its best epoch', () => {
  const folder = scratchFolder();

  const data = join(folder, 'equal.safetensors');
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
  before(async () => {
    // Equal images and a rate that changes nothing: no epoch is better than the first.
    await writeSafetensors(data, {
      images: { shape: [8, 1, 28, 28], data: new Uint8Array(8 * 784) },
      labels: { shape: [8], data: new Int32Array(8) },
    });
  });

  it('calls figures of held-out images those of a validation, on the page, too', async () => {
    const out = join(folder, 'validated');
    const [run] = await linbpEach([[...train, '--out', out, '--epochs', '2', '--validation-split', '0.5']]);
    expect(run!.code, run!.stderr).to.equal(0);
    expect(run!.stdout).to.match(/^validation accuracy/m);
    expect(run!.stderr)
      .to.match(/val loss/)
      .and.not.to.match(/test loss/);
    const page = readFileSync(join(out, 'report.html'), 'utf8');
    expect(page)
      .to.match(/validation loss/)
      .and.not.to.match(/test (loss|accuracy)/);
  });

  it('names the loss that was watched, and the best weights only where they were kept @slow', async () => {
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

  it('a run goes on from its own first weights only; they need not be given again @slow', async () => {
    const weights = await writeFormulaWeights(folder, 'mlp');
    const others = join(folder, 'others.safetensors');
    const { tensors } = await readSafetensors(weights);
    const changed = await Promise.all(
      [...tensors].map(async ([name, tensor]) => {
        const { shape } = tensor;
        return [name, { shape, data: tensorAsFloat32(await tensor.read()).map((value) => -value) }] as const;
      }),
    );
    await writeSafetensors(others, new Map(changed));
    const out = ['--out', join(folder, 'started'), '--epochs'];
    const runs = await linbpEach([
      [...train, '--weights', weights, ...out, '1'],
      [...train, '--weights', others, ...out, '2', '--resume'],
      [...train, ...out, '2', '--resume'],
      [...train, '--weights', weights, ...out, '3', '--resume'],
    ]);
    expectError(runs[1]!, 'belongs to another run: startsFrom is "');
    expect(runs.map(({ code }) => code)).to.deep.equal([0, 1, 0, 0]);
  });
});
