import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import sharp from 'sharp';
import { imageFolderBatches, listImageFolder, loadImageFolder } from '../../src/data/folder.js';
import { selectSamples, subset } from '../../src/data/dataset.js';
import { loadDataset } from '../../src/data/load.js';
import { fitImage, resizeBilinear } from '../../src/data/resize.js';
import { encodePng } from '../../src/io/png.js';
import { expectLinbpError, randomInteger, temporaryFolder } from '../io/support.js';
import { put, realData } from './support.js';

function image(height: number, width: number, value?: number): { height: number; width: number; data: Uint8Array } {
  return { height, width, data: Uint8Array.from({ length: 3 * height * width }, () => value ?? randomInteger(256)) };
}

const png = (height: number, width: number, value?: number): Uint8Array =>
  encodePng({ channels: 3, ...image(height, width, value) });

describe('bilinear resize', () => {
  it('keeps constant images, and the mean of any image when shrinking by a whole factor', () => {
    const flat = image(1 + randomInteger(30), 1 + randomInteger(30), 93);
    expect(new Set(resizeBilinear(flat, 1 + randomInteger(40), 1 + randomInteger(40)).data)).to.deep.equal(
      new Set([93]),
    );
  });

  it('equals the textbook triangle filter within rounding', () => {
    for (let trial = 0; trial < 30; trial++) {
      const source = image(3 + randomInteger(20), 3 + randomInteger(20));
      const [height, width] = [1 + randomInteger(30), 1 + randomInteger(30)];
      const result = resizeBilinear(source, height, width);
      const axis = (i: number, from: number, to: number): number[] => {
        const width = Math.max(from / to, 1);
        const raw = Array.from({ length: from }, (_, j) =>
          Math.max(0, 1 - Math.abs(j + 0.5 - ((i + 0.5) * from) / to) / width),
        );
        const total = raw.reduce((a, b) => a + b, 0);
        return raw.map((weight) => weight / total);
      };
      const [i, j] = [randomInteger(height), randomInteger(width)];
      const [rows, columns] = [axis(i, source.height, height), axis(j, source.width, width)];
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        rows.forEach((u, y) =>
          columns.forEach((v, x) => (sum += u * v * source.data[(c * source.height + y) * source.width + x]!)),
        );
        expect(result.data[(c * height + i) * width + j]).to.be.closeTo(sum, 1.01);
      }
    }
  });

  it('fits the short side and crops the center', () => {
    const wide = fitImage(image(50, 101), { resize: 25 }, 'x');
    expect([wide.height, wide.width]).to.deep.equal([25, 50]);
    const source = image(6, 9);
    const cropped = fitImage(source, { crop: 4 }, 'x');
    // (9 - 4) / 2 rounds to even: 2.
    expect([...cropped.data.subarray(0, 4)]).to.deep.equal([...source.data.subarray(9 + 2, 9 + 6)]);
    expect([...fitImage(source, { channelOrder: 'bgr' }, 'x').data.subarray(0, 54)]).to.deep.equal([
      ...source.data.subarray(108),
    ]);
    expect(fitImage(image(2, 2, 77), { channels: 1 }, 'x').data).to.deep.equal(new Uint8Array(4).fill(77));
  });
});

describe('image folders', () => {
  const folder = temporaryFolder();

  it('reads one sub-folder per class, PNG and JPEG, in order', async () => {
    put(folder(), 'test/cat/b.png', png(4, 4, 10));
    put(folder(), 'test/cat/a.png', png(4, 4, 20));
    put(folder(), 'test/ant/c.png', png(4, 4, 30));
    put(folder(), 'test/ant/readme.txt', 'no image');
    put(
      folder(),
      'test/bee/d.jpg',
      await sharp({ create: { width: 4, height: 4, channels: 3, background: { r: 90, g: 90, b: 90 } } })
        .jpeg()
        .toBuffer(),
    );
    const read = await loadDataset({ dataset: `folder:${folder()}`, split: 'test' });
    expect([...read.labels]).to.deep.equal([0, 1, 2, 2]);
    expect(read.classNames).to.deep.equal(['ant', 'bee', 'cat']);
    expect([0, 1, 2, 3].map((i) => read.images[i * 48])).to.deep.equal([30, 90, 20, 10]);
    const gray = await loadImageFolder(folder(), { channels: 1, resize: 2, limit: 1 });
    expect([gray.count, gray.channels, gray.height, [...gray.images]]).to.deep.equal([1, 1, 2, [30, 30, 30, 30]]);
  });

  it('reads labels from labels.json and from names', async () => {
    put(
      folder(),
      'json/labels.json',
      JSON.stringify([
        { file: 'y.png', index: 2 },
        { file: 'sub/x.png', index: 0 },
      ]),
    );
    const json = await listImageFolder(join(folder(), 'json'));
    expect([...json.labels, json.classes]).to.deep.equal([2, 0, 3]);
    put(folder(), 'object/labels.json', JSON.stringify({ 'y.png': 1 }));
    expect([...(await listImageFolder(join(folder(), 'object'))).labels]).to.deep.equal([1]);
    put(folder(), 'names/a_01_7.png', '');
    put(folder(), 'names/n00000002_thing.JPEG', '');
    put(
      folder(),
      'names/imagenet-classes.txt',
      Array.from({ length: 9 }, (_, i) => `n0000000${i}\tclass ${i}\n`).join(''),
    );
    const names = await listImageFolder(join(folder(), 'names'));
    expect([[...names.labels], names.classes, names.classNames![2]]).to.deep.equal([[7, 2], 9, 'class 2']);
  });

  it('reads classes and targets from the tables of NIPS 2017 and of TransferAttack', async () => {
    // The competition counts classes from 1, has no endings, and quotes what holds commas.
    const lines = [
      'ImageId,URL,TrueLabel,TargetClass,Author',
      'b,"https://x/y,z",3,1,"A ""B"", C"',
      'a,u,1,10,',
      'gone,u,1,2,D',
    ];
    put(folder(), 'nips/labels.csv', `\uFEFF${lines.join('\r\n')}\r\n`);
    put(folder(), 'nips/images/a.png', png(2, 2, 10));
    put(folder(), 'nips/images/b.png', png(2, 2, 20));
    const nips = await loadDataset({ dataset: `folder:${join(folder(), 'nips')}`, split: 'test' });
    expect([[...nips.labels], [...nips.targets!], nips.classes]).to.deep.equal([[2, 0], [0, 9], 10]);
    expect([0, 1].map((i) => nips.images[i * 12])).to.deep.equal([20, 10]);
    expect(nips.note).to.contain('1 listed images that are not there');
    expect([...selectSamples(nips, [1]).targets!, ...subset(nips, 1).targets!]).to.deep.equal([9, 0]);
    put(folder(), 'zero/labels.csv', 'filename,label,targeted_label\nc.png,0,4\n');
    put(folder(), 'zero/c.png', png(2, 2));
    const zero = await listImageFolder(join(folder(), 'zero'));
    expect([[...zero.labels], [...zero.targets!], zero.classes]).to.deep.equal([[0], [4], 5]);
    for (const [table, message] of [
      ['file,width\nc.png,3\n', /must name the columns/],
      ['ImageId,TrueLabel\nc,0\n', /line 2: "?0"? is no class; classes of the column truelabel count from 1/],
      ['filename,label\nc.png,x\n', /line 2/],
    ] as const) {
      put(folder(), 'bad/labels.csv', table);
      put(folder(), 'bad/c.png', png(2, 2));
      await expectLinbpError(() => listImageFolder(join(folder(), 'bad')), 'bad-file', message);
    }
  });

  it('does not take a class called train for the training half', async () => {
    put(folder(), 'bus/a.png', png(2, 2));
    put(folder(), 'train/b.png', png(2, 2));
    expect((await listImageFolder(folder(), 'train')).classNames).to.deep.equal(['bus', 'train']);
  });

  it('yields batches in order, decoding ahead, and can be left early', async () => {
    for (let i = 0; i < 7; i++) put(folder(), `x_${i}.png`, png(2, 2, i * 9));
    const counts: number[] = [];
    const values: number[] = [];
    for await (const part of imageFolderBatches(folder(), { batch: 3 })) {
      counts.push(part.count);
      for (let i = 0; i < part.count; i++) values.push(part.images[i * 12]!);
    }
    expect([counts, values]).to.deep.equal([
      [3, 3, 1],
      [0, 9, 18, 27, 36, 45, 54],
    ]);
    for await (const part of imageFolderBatches(folder(), { batch: 1 })) {
      expect(part.count).to.equal(1);
      break;
    }
  });

  it('refuses gray of 16 bits, which Pillow clips', async () => {
    const wide = await sharp(Uint16Array.of(1, 2, 3, 65535), { raw: { width: 2, height: 2, channels: 1 } })
      .toColorspace('grey16')
      .png()
      .toBuffer();
    // A shade that counts as transparent is no alpha channel.
    const transparent = Buffer.from('0000000274524e5300010194fdae', 'hex');
    const files = { wide, shade: Buffer.concat([wide.subarray(0, 33), transparent, wide.subarray(33)]) };
    for (const [name, bytes] of Object.entries(files)) {
      put(folder(), `${name}/x_0.png`, bytes);
      await expectLinbpError(() => loadImageFolder(join(folder(), name)), 'bad-file', /16 bits/);
    }
  });

  it('refuses what has no images, labels or common size', async () => {
    const bad = (name: string) => loadImageFolder(join(folder(), name));
    await expectLinbpError(() => bad('none'), 'missing-data', /none/);
    put(folder(), 'empty/readme.txt', '');
    await expectLinbpError(() => bad('empty'), 'missing-data', /no PNG or JPEG/);
    put(folder(), 'unlabeled/photo.png', png(2, 2));
    await expectLinbpError(() => bad('unlabeled'), 'bad-file', /photo\.png: no label/);
    put(folder(), 'sizes/a_0.png', png(2, 2));
    put(folder(), 'sizes/b_0.png', png(2, 3));
    await expectLinbpError(() => bad('sizes'), 'bad-shape', /b_0\.png: 2 x 3/, /crop/);
    put(folder(), 'cut/a_0.png', png(20, 20).subarray(0, 300));
    await expectLinbpError(() => bad('cut'), 'bad-file', /a_0\.png: cannot be decoded/);
    put(folder(), 'text/a_0.jpg', 'not an image');
    await expectLinbpError(() => bad('text'), 'bad-file', /a_0\.jpg is neither/);
    await expectLinbpError(
      () => loadImageFolder(join(folder(), 'sizes'), { crop: 5 }),
      'bad-shape',
      /smaller than the crop 5/,
    );
    await expectLinbpError(
      () => loadImageFolder(join(folder(), 'sizes'), { resize: 4, crop: 5 }),
      'bad-range',
      /crop 5/,
    );
    await expectLinbpError(() => loadImageFolder(join(folder(), 'sizes'), { resize: 0 }), 'bad-range', /resize/);
    await expectLinbpError(() => loadImageFolder(join(folder(), 'sizes'), { limit: 0 }), 'bad-range', /limit/);
    await expectLinbpError(() => loadImageFolder(join(folder(), 'sizes'), { signal: AbortSignal.abort() }), 'aborted');
    const labels: [string, RegExp][] = [
      ['{', /not valid JSON/],
      ['[{"file": "a.png"}]', /entry 0/],
      ['[7]', /entry 0/],
      ['[{"file": "../a.png", "index": 0}]', /outside the folder/],
      ['[{"file": "a.png", "index": -1}]', /label -1/],
      ['[{"file": "a.png", "index": 0}]', /cannot read.*a\.png/],
    ];
    for (const [i, [text, pattern]] of labels.entries()) {
      put(folder(), `labels${i}/labels.json`, text);
      await expectLinbpError(() => bad(`labels${i}`), i === 5 ? 'missing-file' : 'bad-file', pattern);
    }
  });

  it('reads the ImageNet samples as the models want them', async function () {
    const path = join(realData(this), 'imagenet-samples');
    const stated = JSON.parse(readFileSync(join(path, 'labels.json'), 'utf8')) as { index: number }[];
    const read = await loadImageFolder(path, { resize: 256, crop: 224, limit: 12 });
    expect([...read.labels]).to.deep.equal(stated.slice(0, 12).map((row) => row.index));
    expect([read.classes, read.height, read.width]).to.deep.equal([1000, 224, 224]);
    const reversed = await loadImageFolder(path, { resize: 256, crop: 224, limit: 1, channelOrder: 'bgr' });
    expect(reversed.images.subarray(0, 50176)).to.deep.equal(read.images.subarray(2 * 50176, 3 * 50176));
  });
});
