import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { tensorAsFloat32 } from '../../src/io/safetensors.js';
import {
  expectCommonFields,
  expectError,
  linbp,
  linbpEach,
  readJson,
  readTensors,
  root,
  scratchFolder,
} from './support.js';

describe('verbs of the command line', () => {
  const folder = scratchFolder();
  const out = join(folder, 'run');
  const weights = join(out, 'mlp.safetensors');
  const json = (name: string): string => join(folder, `${name}.json`);

  it('help, version and positions', async () => {
    const verbs = ['doctor', 'demo', 'train', 'attack', 'eval', 'grad', 'positions'];
    const cases = [
      ['--help'],
      ['--version'],
      ...verbs.map((verb) => [verb, '--help']),
      ['positions', '--model', 'lenet5', '--json', json('positions')],
    ];
    const ended = await linbpEach(cases);
    for (const [i, each] of ended.entries()) expect(each.code, `${cases[i]!.join(' ')}: ${each.stderr}`).to.equal(0);
    for (const verb of verbs) expect(ended[0]!.stdout).to.match(new RegExp(`^  ${verb} `, 'm'));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(ended[1]!.stdout).to.equal(`${version}\n`);
    verbs.forEach((_, i) => expect(ended[2 + i]!.stdout).to.contain('--json FILE'));
    expect(ended[5]!.stdout).to.contain('--eps');
    const { positions, presets } = readJson(json('positions')) as {
      positions: { name: string; presets: string[] }[];
      presets: object;
    };
    expect(positions.map(({ name }) => name)).to.deep.equal(['conv1.2', 'conv2.2', 'fc.1', 'fc.3']);
    expect(positions.filter((position) => position.presets.includes('default')).map(({ name }) => name)).to.deep.equal([
      'fc.1',
      'fc.3',
    ]);
    expect(presets).to.deep.equal({ default: 2 });
  });

  it('train, eval and attack give the fields of their contract', async () => {
    const train = [
      'train',
      '--model',
      'mlp',
      '--limit',
      '640',
      '--test-limit',
      '64',
      '--epochs',
      '3',
      '--optimizer',
      'adam',
      '--batch',
      '32',
    ];
    const score = ['eval', '--model', 'mlp', '--weights', weights, '--limit', '64', '--batch', '40'];
    const attack = [
      'attack',
      '--model',
      'mlp',
      '--weights',
      weights,
      '--limit',
      '12',
      '--eps',
      '8/255',
      '--alpha',
      '2/255',
      '--steps',
      '6',
    ];
    const victims = ['--victims', `mlp=${weights}`, '--batch', '8', '--rule', 'linbp', '--out', join(folder, 'attack')];
    const ended = await linbpEach([
      [...train, '--rule', 'bp', '--out', out, '--json', json('train')],
      [...score, '--json', json('eval')],
      [...score, '--device', 'reference', '--json', json('reference')],
      [...attack, ...victims, '--json', json('attack')],
    ]);
    for (const each of ended) expect(each.code, each.stderr).to.equal(0);

    const trained = readJson(json('train'));
    expectCommonFields(trained, 'train');
    expect(trained['epochs']).to.have.length(3);
    for (const epoch of trained['epochs'] as object[]) {
      expect(epoch).to.have.all.keys('epoch', 'trainLoss', 'trainAccuracy', 'testLoss', 'testAccuracy', 'seconds');
    }
    expect(trained['steps']).to.equal(60);
    expect(trained['imagesPerSecond']).to.be.above(0);
    expect(trained['settings']).to.include({ optimizer: 'adam', lr: 0.001, rule: 'bp', batch: 32, seed: 0 });

    const [gpu, reference] = [readJson(json('eval')), readJson(json('reference'))];
    expectCommonFields(gpu, 'eval');
    expectCommonFields(reference, 'eval');
    const inHalf = await linbp([...score, '--precision', 'f16', '--json', json('half')]);
    // Where the adapter has no half precision, one line says so.
    if (inHalf.code !== 0) expectError(inHalf, 'shader-f16');
    else {
      const half = readJson(json('half'));
      expect(half['settings']).to.include({ precision: 'f16' });
      expect(half['loss']).to.be.closeTo(gpu['loss'] as number, 0.01 * (gpu['loss'] as number));
      expect(half['loss']).to.not.equal(gpu['loss']);
    }
    const last = (trained['epochs'] as { testLoss: number; testAccuracy: number }[])[2]!;
    for (const result of [gpu, reference]) {
      expect(result).to.include({ count: 64, accuracy: last.testAccuracy });
      expect(result['correct']).to.equal(Math.round(64 * last.testAccuracy));
      expect(result['loss']).to.be.closeTo(last.testLoss, 1e-4);
    }

    const attacked = readJson(json('attack'));
    expectCommonFields(attacked, 'attack');
    const figures = ['count', 'cleanCorrect', 'robustCorrect', 'cleanAccuracy', 'robustAccuracy', 'successRate'];
    expect(attacked).to.include.all.keys(
      ...figures,
      'linf',
      'l2',
      'curve',
      'gradients',
      'dispatches',
      'submits',
      'readbacks',
      'imageGradientsPerSecond',
    );
    expect(attacked['count']).to.equal(12);
    expect(attacked['gradients']).to.equal(72);
    expect(attacked['curve']).to.have.length(7);
    for (const point of attacked['curve'] as object[])
      expect(point).to.include.all.keys('step', 'loss', 'robustAccuracy');
    expect(attacked['settings']).to.include({ eps: 8 / 255, alpha: 2 / 255, randomStart: true });
    // The victim is the attacked model itself, so it must do as well as on the saved images.
    const [victim] = attacked['victims'] as Record<string, unknown>[];
    expect(victim).to.have.all.keys('model', ...figures);
    const saved = attacked['saved'] as { robustCorrect: number };
    expect(victim!['robustCorrect']).to.equal(saved.robustCorrect);
  });

  it('writes images inside the ball, which can be read again as a data set', async () => {
    const file = readTensors(join(folder, 'attack', 'adversarial.safetensors'));
    const [clean, float] = ['clean', 'adversarial'].map((name) => tensorAsFloat32(file.tensors.get(name)!)) as [
      Float32Array,
      Float32Array,
    ];
    const saved = file.tensors.get('adversarial8')!.data;
    expect(file.tensors.get('labels')!.dtype).to.equal('I32');
    for (let i = 0; i < clean.length; i++) {
      expect(Math.abs(Math.round(255 * clean[i]!) - saved[i]!)).to.be.at.most(8);
      expect(Math.abs(float[i]! - clean[i]!)).to.be.at.most(8 / 255 + 1e-7);
    }
    expect(readdirSync(join(folder, 'attack', 'adversarial'))).to.have.length(12);
    expect((readJson(join(folder, 'attack', 'report.json'))['samples'] as unknown[]).length).to.equal(12);
    const again = [
      'eval',
      '--model',
      'mlp',
      '--weights',
      weights,
      '--dataset',
      `folder:${join(folder, 'attack', 'adversarial')}`,
    ];
    const [ended] = await linbpEach([[...again, '--device', 'reference', '--json', json('again')]]);
    expect(ended!.code, ended!.stderr).to.equal(0);
    // The attack counts the images that were right before only.
    const { robustCorrect } = (readJson(json('attack')) as { saved: { robustCorrect: number } }).saved;
    expect(readJson(json('again'))['correct']).to.be.at.least(robustCorrect);
  });

  it('Ctrl-C during training: exit code 130, result and checkpoint valid, training goes on @slow', async () => {
    const place = join(folder, 'interrupted');
    const train = ['train', '--model', 'mlp', '--limit', '256', '--test-limit', '32', '--out', place, '--epochs'];
    let sent = false;
    const ended = await linbp([...train, '100000', '--json', json('interrupted')], {}, (stderr, kill) => {
      if (!sent && stderr.includes('epoch 2 ')) {
        sent = true;
        kill('SIGINT');
      }
    });
    expect(ended.code, ended.stderr).to.equal(130);
    expect(ended.stderr)
      .to.contain('interrupted')
      .and.not.to.match(/^\s+at /m);
    const result = readJson(json('interrupted'));
    expect(result['interrupted']).to.equal(true);
    const epochs = (result['epochs'] as unknown[]).length;
    expect(epochs).to.be.at.least(2);
    expect(readdirSync(place).sort()).to.deep.equal([
      'linbp-manifest.json',
      'mlp.safetensors',
      'mlp.state.safetensors',
      'report.html',
    ]);
    const [resumed] = await linbpEach([[...train, String(epochs + 1), '--resume', '--json', json('resumed')]]);
    expect(resumed!.code, resumed!.stderr).to.equal(0);
    expect((readJson(json('resumed'))['epochs'] as unknown[]).length).to.equal(epochs + 1);
  });

  it('Ctrl-C during an attack: exit code 130, nothing half-written', async () => {
    const place = join(folder, 'stopped');
    let sent = false;
    const args = [
      'attack',
      '--model',
      'mlp',
      '--steps',
      '50000',
      '--limit',
      '64',
      '--out',
      place,
      '--json',
      json('stopped'),
    ];
    const ended = await linbp(args, {}, (stderr, kill) => {
      if (!sent && stderr.includes('note: ')) {
        sent = true;
        kill('SIGINT');
      }
    });
    expect(ended.code, ended.stderr).to.equal(130);
    expect(ended.stderr).to.contain('error: interrupted');
    expect(existsSync(place) ? readdirSync(place) : []).to.deep.equal([]);
    expect(existsSync(json('stopped'))).to.equal(false);
  });

  it('Ctrl-C after some batches of an attack: exit code 130; finished images and report are kept @slow', async () => {
    const place = join(folder, 'partial');
    let sent = false;
    const args = [
      'attack',
      '--model',
      'mlp',
      '--steps',
      '200',
      '--batch',
      '2',
      '--limit',
      '4000',
      '--out',
      place,
      '--json',
      json('partial'),
    ];
    const ended = await linbp([...args, '--device', 'reference'], {}, (stderr, kill) => {
      if (!sent && /[1-9]\d* images done/.test(stderr)) {
        sent = true;
        kill('SIGINT');
      }
    });
    expect(ended.code, ended.stderr).to.equal(130);
    expect(ended.stderr).to.contain('interrupted');
    const report = readJson(join(place, 'report.json'));
    const { count } = readJson(json('partial')) as { count: number };
    expect(report['interrupted']).to.equal(true);
    expect(count).to.be.within(2, 3998);
    expect((report['samples'] as unknown[]).length).to.equal(count);
    const { tensors } = readTensors(join(place, 'adversarial.safetensors'));
    expect(tensors.get('adversarial')!.shape).to.deep.equal([count, 1, 28, 28]);
    expect(tensors.get('labels')!.shape).to.deep.equal([count]);
  });
});
