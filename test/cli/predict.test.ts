import { expect } from 'chai';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { confusionLines, confusionOf } from '../../src/cli/confusion.js';
import { guesses } from '../../src/cli/predict.js';
import { fromArrays } from '../../src/data/dataset.js';
import { encodePng } from '../../src/io/png.js';
import { expectError, linbp, linbpEach, writeFormulaWeights } from './support.js';

describe('confusion matrices', () => {
  const labels = Int32Array.of(0, 0, 1, 2, 2, 2);
  const set = fromArrays({ shape: [6, 1, 1, 1], classes: 4, images: new Uint8Array(6), labels });

  it('count each image once, in the row of its label', () => {
    const found = confusionOf(set, [0, 1, 1, 2, 0, 2]);
    expect(found.matrix).to.deep.equal([
      [1, 1, 0, 0],
      [0, 1, 0, 0],
      [1, 0, 2, 0],
      [0, 0, 0, 0],
    ]);
    expect(found.classes.map(({ count, correct, accuracy }) => [count, correct, accuracy])).to.deep.equal([
      [2, 1, 0.5],
      [1, 1, 1],
      [3, 2, 2 / 3],
      [0, 0, null],
    ]);
    expect(confusionLines(found).join('\n'))
      .to.match(/^2 .*66\.7 %$/m)
      .and.to.match(/^3 .* -$/m);
  });
});

describe('confusions of very many classes', () => {
  it('are counted by class, without a table of pairs', () => {
    const classes = 60_000;
    const set = fromArrays({
      shape: [3, 1, 1, 1],
      classes,
      images: new Uint8Array(3),
      labels: Int32Array.of(5, 5, 59_999),
    });
    const found = confusionOf(set, [5, 7, 59_999]);
    expect(found.matrix).to.deep.equal([]);
    expect([found.classes[5]!.accuracy, found.classes[59_999]!.accuracy, found.classes[0]!.accuracy]).to.deep.equal([
      0.5,
      1,
      null,
    ]);
    expect(confusionLines(found)[1]).to.match(/50\.0 % {2}1\/2 {2}5$/);
  });
});

describe('linbp predict', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'linbp-predict-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('orders classes by probability, the first of equal ones first', () => {
    const found = guesses([1, 3, 3, Math.log(2)], undefined, 4);
    expect(found.map((guess) => guess.class)).to.deep.equal([1, 2, 0, 3]);
    expect(found.reduce((sum, { probability }) => sum + probability, 0)).to.be.closeTo(1, 1e-12);
    expect(found[0]!.probability / found[3]!.probability).to.be.closeTo(Math.exp(3) / 2, 1e-9);
  });

  it('names the classes of all images of a folder', async () => {
    const images = join(folder, 'images');
    mkdirSync(images);
    for (const [n, name] of ['b.png', 'a.png'].entries())
      writeFileSync(
        join(images, name),
        encodePng({ channels: 1, height: 28, width: 28, data: new Uint8Array(784).fill(200 * n) }),
      );
    writeFileSync(join(images, 'notes.txt'), 'no image');
    const names = join(folder, 'names.txt');
    writeFileSync(names, Array.from({ length: 10 }, (_, i) => `class ${i}\n`).join(''));
    const file = join(folder, 'predict.json');
    const weights = await writeFormulaWeights(folder, 'mlp');
    const command = ['predict', '--model', 'mlp', '--weights', weights, '--images', images, '--device', 'reference'];
    const run = await linbp([...command, '--class-names', names, '--top', '2', '--json', file]);
    expect(run.code, run.stderr).to.equal(0);
    const json = JSON.parse(readFileSync(file, 'utf8')) as {
      predictions: { image: string; top: { name: string; probability: number }[] }[];
    };
    expect(json.predictions.map(({ image }) => image)).to.deep.equal([join(images, 'a.png'), join(images, 'b.png')]);
    for (const { top } of json.predictions) expect(top).to.have.length(2);
    const lines = run.stdout.trim().split('\n');
    expect(lines[0]).to.match(/a\.png {2}class \d \d+\.\d % {2}class \d/);
    const bad = await linbp(['predict', '--model', 'mlp', '--weights', weights, '--images', join(folder, 'none')]);
    expect(bad.code).to.equal(1);
    expect(bad.stderr).to.match(/no such file/);
  });

  it('refuses images that are cut to another size than the network takes, and leaves hidden files out', async () => {
    const images = join(folder, 'more');
    mkdirSync(images);
    const png = encodePng({ channels: 1, height: 40, width: 40, data: new Uint8Array(1600) });
    writeFileSync(join(images, 'one\ntwo.png'), png);
    writeFileSync(join(images, '._one.png'), 'not an image');
    mkdirSync(join(images, 'folder.png'));
    const weights = await writeFormulaWeights(folder, 'mlp');
    const command = ['predict', '--model', 'mlp', '--weights', weights, '--images', images, '--device', 'reference'];
    const [plain, wider, narrower] = await linbpEach([
      command,
      [...command, '--resize', '40', '--crop', '32'],
      [...command, '--crop', '20'],
    ]);
    expect(plain!.code, plain!.stderr).to.equal(0);
    expect(plain!.stdout.trim().split('\n')).to.have.length(1);
    expect(plain!.stdout).to.include('one\\u000atwo.png');
    expectError(wider!, 'mlp takes images [1, 28, 28]', 'became [1, 32, 32]');
    expectError(narrower!, 'became [1, 20, 20]');
  });
});
