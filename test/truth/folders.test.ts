import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { folderFit, checkFits } from '../../src/cli/common.js';
import { fromArrays, holdOut } from '../../src/data/dataset.js';
import { listImageFolder, loadImageFolder } from '../../src/data/folder.js';
import { fitImage } from '../../src/data/resize.js';
import { encodePng } from '../../src/io/png.js';
import { defaultOutput, manifestName, OutputFolder } from '../../src/io/outputFolder.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { temporaryFolder } from '../io/support.js';
import { put } from '../data/support.js';
import { refusal } from './support.js';

const png = encodePng({ channels: 1, height: 2, width: 2, data: new Uint8Array(4) });

describe('classes of image folders', () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder(), name);
  const labels = async (name: string, split: 'train' | 'test' = 'test') => [
    ...(await listImageFolder(at(name), split)).labels,
  ];

  it('both halves are numbered by the training half, also where the test half lacks a class', async () => {
    for (const file of ['train/a/1.png', 'train/b/1.png', 'train/c/1.png', 'test/b/1.png', 'test/c/1.png'])
      put(at('halves'), file, png);
    expect(await labels('halves', 'train')).to.deep.equal([0, 1, 2]);
    expect(await labels('halves', 'test')).to.deep.equal([1, 2]);
    put(at('halves'), 'val/z/1.png', png);
    expect(await labels('halves', 'test'), 'test comes before val').to.deep.equal([1, 2]);
    put(at('halves'), 'test/z/1.png', png);
    const error = await refusal(() => labels('halves', 'test'), 'bad-file');
    for (const name of ['"z"', '"a"', '"b"', '"c"']) expect(error.message).to.include(name);
  });

  it('a list numbers classes, in the half or above it; absent ones are allowed, unknown folders are not', async () => {
    put(at('list'), 'classes.txt', 'dog\r\ncat\nbird\n');
    for (const file of ['train/cat/1.png', 'test/bird/1.png']) put(at('list'), file, png);
    expect(await labels('list', 'train')).to.deep.equal([1]);
    const test = await listImageFolder(at('list'), 'test');
    expect([[...test.labels], test.classes, test.classSource]).to.deep.equal([[2], 3, 'list']);
    put(at('list'), 'test/cow/1.png', png);
    const error = await refusal(() => labels('list'), 'bad-file');
    for (const name of ['"cow"', '"dog"', '"cat"', '"bird"']) expect(error.message).to.include(name);
    put(at('twice'), 'classes.txt', 'a\nb\na\n');
    put(at('twice'), 'a/1.png', png);
    await refusal(() => labels('twice'), 'bad-file');
    put(at('imagenet'), 'imagenet-classes.txt', 'n00000001\tcrane\nn00000002\tcrane\n');
    put(at('imagenet'), 'n00000002/1.png', png);
    expect(await labels('imagenet')).to.deep.equal([1]);
  });

  it('one list numbers both halves wherever it lies, and two that differ are refused', async () => {
    for (const where of ['train', 'test']) {
      const name = `listIn${where}`;
      put(at(name), `${where}/classes.txt`, 'dog\ncat\n');
      for (const file of ['train/cat/1.png', 'train/dog/1.png', 'test/cat/1.png']) put(at(name), file, png);
      expect([await labels(name, 'train'), await labels(name, 'test')], where).to.deep.equal([[1, 0], [1]]);
    }
    put(at('listIntrain'), 'test/classes.txt', 'cat\ndog\n');
    const error = await refusal(() => labels('listIntrain', 'test'), 'bad-file');
    expect(error.message).to.match(/"dog", "cat".*"cat", "dog"/);
  });

  it('a folder that could be two classes of the list is refused', async () => {
    put(at('cranes'), 'imagenet-classes.txt', 'n00000001\tcrane\nn00000002\tcrane\nn00000003\towl\n');
    put(at('cranes'), 'owl/1.png', png);
    expect(await labels('cranes')).to.deep.equal([2]);
    put(at('cranes'), 'crane/1.png', png);
    const error = await refusal(() => labels('cranes'), 'bad-file');
    expect(error.message).to.match(/"crane" may be several classes/);
  });

  it('a list of a hundred thousand classes is read in linear time', async () => {
    const names = Array.from({ length: 100_000 }, (_, i) => `class ${i}`);
    put(at('long'), 'classes.txt', names.join('\n'));
    put(at('long'), 'class 99999/1.png', png);
    const began = performance.now();
    expect(await labels('long')).to.deep.equal([99_999]);
    expect(performance.now() - began).to.be.below(3000);
  });

  it('a link that leads nowhere, or in a circle, is no folder', async () => {
    put(at('links'), 'a/1.png', png);
    put(at('links'), 'b/1.png', png);
    symlinkSync('loop', join(at('links'), 'loop'));
    expect(await labels('links')).to.deep.equal([0, 1]);
  });

  it("without a list the count must be the network's, with labels alone it may be smaller", async () => {
    const dataset = (name: string) => loadImageFolder(at(name), { channels: 1, resize: 28, crop: 28 });
    put(at('three'), 'a/1.png', png);
    put(at('three'), 'b/1.png', png);
    put(at('three'), 'c/1.png', png);
    const error = await refusal(async () => checkFits(await dataset('three'), lenet5), 'bad-shape');
    expect(error.message).to.match(/10 classes.* 3: "a", "b", "c".*classes\.txt/);
    put(at('flat'), 'x_4.png', png);
    checkFits(await dataset('flat'), lenet5);
    put(at('many'), 'x_12.png', png);
    await refusal(async () => checkFits(await dataset('many'), lenet5), 'bad-shape');
  });

  it('hidden folders are no classes, and what is left out is counted', async () => {
    for (const file of ['.cache/x.png', 'a/1.png', 'a/deep/2.png', 'a/deep/er/3.png', 'b/1.png', '.DS_Store'])
      put(at('hidden'), file, png);
    const found = await listImageFolder(at('hidden'));
    expect([found.classNames, [...found.labels]]).to.deep.equal([
      ['a', 'b'],
      [0, 1],
    ]);
    expect(found.note)
      .to.match(/2 hidden entries/)
      .and.match(/2 images in folders inside class folders/);
  });

  it('images only one folder deeper, a missing half and an image listed twice are refused', async () => {
    put(at('deep'), 'a/b/1.png', png);
    const error = await refusal(() => labels('deep'), 'missing-data');
    expect(error.message).to.match(/left out: 1 image/);
    put(at('half'), 'train/a/1.png', png);
    await refusal(() => labels('half', 'test'), 'missing-data');
    put(
      at('double'),
      'labels.json',
      JSON.stringify([
        { file: 'x.png', index: 0 },
        { file: './x.png', index: 1 },
      ]),
    );
    await refusal(() => labels('double'), 'bad-file');
  });

  it('flat halves with labels in the names are halves, not classes', async () => {
    put(at('flatHalves'), 'train/a_3.png', png);
    put(at('flatHalves'), 'test/a_5.png', png);
    expect([await labels('flatHalves', 'train'), await labels('flatHalves', 'test')]).to.deep.equal([[3], [5]]);
  });
});

describe("images of the input's size", () => {
  it('are taken as they are, and others are resized and cut; asked-for sizes hold for all', () => {
    const image = (side: number) => ({
      height: side,
      width: side,
      data: Uint8Array.from({ length: 3 * side * side }, (_, i) => (i * 97) % 256),
    });
    for (const side of [224, 227]) {
      const definition = { ...lenet5, input: [3, side, side] as const };
      const own = image(side);
      expect(fitImage(own, folderFit({}, definition), 'x').data).to.deep.equal(own.data);
      expect(fitImage(image(300), folderFit({}, definition), 'x').height).to.equal(side);
      expect(fitImage(own, folderFit({ resize: 256 }, definition), 'x').data).not.to.deep.equal(own.data);
    }
  });

  it('an image of one row or column is refused by name before it takes memory', async () => {
    for (const [height, width] of [
      [1, 60_000],
      [60_000, 1],
    ] as const) {
      const image = { height, width, data: new Uint8Array(3 * height * width) };
      const error = await refusal(() => fitImage(image, { resize: 256, crop: 224 }, 'long.png'), 'bad-shape');
      expect(error.message).to.include('long.png');
      expect(fitImage(image, { resize: 1 }, 'long.png').data).to.have.length(3 * height * width);
    }
  });

  it('a validation split holds out other images than it keeps', () => {
    const dataset = fromArrays({
      shape: [10, 1, 1, 1],
      classes: 10,
      images: Uint8Array.from({ length: 10 }, (_, i) => i),
      labels: Uint8Array.from({ length: 10 }, (_, i) => i),
    });
    const { kept, heldOut } = holdOut(dataset, 0.3, 4);
    expect([kept.count, heldOut.count]).to.deep.equal([7, 3]);
    expect([...kept.labels, ...heldOut.labels].sort()).to.deep.equal([...dataset.labels]);
    expect(() => holdOut(dataset, 0.99, 4)).to.throw(/held out/);
  });
});

describe('output folders', () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder(), name);
  const write =
    (...files: string[]) =>
    async (into: string): Promise<void> => {
      for (const file of files) {
        await mkdir(join(into, file, '..'), { recursive: true });
        await writeFile(join(into, file), file);
      }
    };

  it('a folder of somebody else is refused; with a manifest only listed files make room', async () => {
    await write('own.txt')(at('foreign'));
    await refusal(() => OutputFolder.open(at('foreign'), 'attack'), 'not-writable');
    await OutputFolder.open(at('foreign'), 'train', true);
    await (await OutputFolder.open(at('run'), 'attack')).replace(write('a/1.png', 'a/2.png', 'b/1.png', 'report.json'));
    await write('a/mine.txt')(at('run'));
    await (await OutputFolder.open(at('run'), 'attack')).replace(write('a/1.png', 'report.json'));
    expect(readdirSync(at('run')).sort()).to.deep.equal(['a', manifestName, 'report.json']);
    expect(readdirSync(at('run/a')).sort()).to.deep.equal(['1.png', 'mine.txt']);
  });

  it('a run that fails leaves the earlier files', async () => {
    await (await OutputFolder.open(at('fails'), 'attack')).replace(write('1.png'));
    const again = await OutputFolder.open(at('fails'), 'attack');
    await refusal(
      () =>
        again.replace(async (into) => {
          await write('2.png')(into);
          throw new Error('disk full');
        }),
      'not-writable',
    );
    expect(readdirSync(at('fails')).sort()).to.deep.equal(['1.png', manifestName]);
  });

  it('a manifest that leads out of the folder is refused', async () => {
    for (const files of [['../x'], ['/etc/passwd'], [''], [7], 'x']) {
      put(at('evil'), manifestName, JSON.stringify({ files }));
      await refusal(() => OutputFolder.open(at('evil'), 'attack'), 'bad-file');
    }
    expect(readFileSync(at(`evil/${manifestName}`), 'utf8')).to.include('files');
  });

  it('the default is a folder of its own, also for two runs of one second', async () => {
    const at = new Date('2026-01-02T03:04:05Z');
    const path = join('linbp-out', 'attack-20260102-030405');
    expect([await defaultOutput('attack', at), await defaultOutput('attack', at)]).to.deep.equal([path, `${path}-2`]);
  });

  it('a run that writes one by one removes what an earlier one left', async () => {
    await (await OutputFolder.open(at('one'), 'attack')).replace(write('clean/0.png', 'report.json', 'report.html'));
    const again = await OutputFolder.open(at('one'), 'train');
    await again.keepOnly(['net.safetensors', 'report.html']);
    await again.claim(['net.safetensors', 'report.html']);
    expect(readdirSync(at('one')).sort()).to.deep.equal([manifestName, 'report.html']);
  });

  it('files are never removed through a link that leads out', async () => {
    put(folder(), 'elsewhere/important.png', png);
    await (await OutputFolder.open(at('linked'), 'attack')).replace(write('report.json'));
    symlinkSync(join(folder(), 'elsewhere'), join(at('linked'), 'clean'));
    writeFileSync(
      join(at('linked'), manifestName),
      JSON.stringify({ program: 'linbp', files: ['clean/important.png'] }),
    );
    const error = await refusal(() => OutputFolder.open(at('linked'), 'attack'), 'not-writable');
    expect(error.message).to.match(/leads out/);
    expect(readdirSync(join(folder(), 'elsewhere'))).to.deep.equal(['important.png']);
  });
});
