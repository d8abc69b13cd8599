import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  closeSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { putNetwork } from '../../src/cli/jobs/network.js';
import { openModel } from '../../src/cli/modelSource.js';
import { readNames, readPixels } from '../../src/cli/predict.js';
import { loadCifar10Jpeg } from '../../src/data/cifar10.js';
import { idxDataset } from '../../src/data/idx.js';
import { datasetHalves, loadDataset } from '../../src/data/load.js';
import { listImageFolder, loadImageFolder } from '../../src/data/folder.js';
import { LinbpError } from '../../src/errors.js';
import { decodePng, readPng } from '../../src/io/png.js';
import { quoted, quotedValue } from '../../src/quote.js';
import { decodeSafetensors, readSafetensors } from '../../src/io/safetensors.js';
import { readWeights } from '../../src/io/weights.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { importOnnx } from '../../src/onnx/index.js';
import { expectLinbpError, temporaryFolder } from '../io/support.js';
import { memoryStore } from '../jobs/support.js';
import { pending } from '../support/pending.js';

const NOT_REGULAR = ['bad-file', /not a regular file|lies outside the model's folder/] as const;
const NO_IMAGES = ['missing-data', /no PNG/] as const;

/** A model whose weights are to lie in a file beside it. */
function modelBeside(place: string): string {
  const fixture = new URL('../../../test/fixtures/onnx/refused/external_missing.onnx', import.meta.url);
  copyFileSync(fixture, join(place, 'model.onnx'));
  return join(place, 'model.onnx');
}

const lenet5 = modelDefinition('lenet5');
const { signal } = new AbortController();

/** The most that resident memory grew while `body` ran, in MB: bombs are refused before they are unpacked. */
async function growth(body: () => unknown): Promise<number> {
  const before = process.resourceUsage().maxRSS;
  await body();
  return (process.resourceUsage().maxRSS - before) / 1024;
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(data.length);
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(body));
  return Buffer.concat([head, body, tail]);
}

function png(width: number, height: number, depth: number, type: number, ...chunks: Buffer[]): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = depth;
  header[9] = type;
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([signature, chunk('IHDR', header), ...chunks, chunk('IEND', Buffer.alloc(0))]);
}

const zeros = (bytes: number): Buffer => deflateSync(Buffer.alloc(bytes), { level: 1 });

function safetensors(header: string, data = Buffer.alloc(4)): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header), data]);
}

describe('readers open regular files only', () => {
  const folder = temporaryFolder();
  before(function () {
    if (process.platform === 'win32') pending(this, 'pipes in the file system');
  });

  const readers: readonly [string, string, (place: string, name: string) => unknown][] = [
    ['weights', 'w.safetensors', (place, name) => readSafetensors(join(place, name))],
    ['weights of any format', 'w.pt', (place, name) => readWeights(join(place, name))],
    ['PNG', 'a.png', (place, name) => readPng(join(place, name))],
    ['image', 'a_1.png', (place) => loadImageFolder(place)],
    ['labels', 'labels.json', (place) => listImageFolder(place)],
    ['classes', 'imagenet-classes.txt', (place) => listImageFolder(place)],
    ['IDX', 'labels', (place, name) => idxDataset('x', 'test', join(place, name), join(place, name), ['0'])],
    ['ONNX', 'm.onnx', (place, name) => importOnnx(join(place, name))],
    ['data beside an ONNX model', 'external_missing.onnx.data', (place) => importOnnx(modelBeside(place))],
    [
      'the network of a job',
      'm.onnx',
      (place, name) => putNetwork(memoryStore(), { model: join(place, name) }, new Map()),
    ],
    ['arrays', 'a.npz', (place, name) => loadDataset({ dataset: join(place, name), split: 'test' })],
    ['names of classes', 'names.txt', (place, name) => readNames(join(place, name), 2)],
    ['a module', 'net.mjs', (place, name) => openModel(join(place, name))],
    ['halves of arrays', 'a.npz', (place, name) => datasetHalves(join(place, name))],
    ['an image to look at', 'one.png', (place, name) => readPixels([join(place, name)], lenet5, {}, signal)],
  ];
  for (const [what, name, read] of readers) {
    it(`${what}: a pipe, an endless device and a folder are refused`, async () => {
      for (const [kind, make] of [
        ['pipe', pipeAt],
        ['device', (path: string) => symlinkSync('/dev/zero', path)],
        ['folder', (path: string) => mkdirSync(path)],
      ] as const) {
        const place = join(folder(), kind);
        mkdirSync(place);
        make(join(place, name));
        const started = performance.now();
        // A folder called like an image is one of other images, and there are none.
        const [code, reason] = kind === 'folder' && what === 'image' ? NO_IMAGES : NOT_REGULAR;
        await expectLinbpError(async () => read(place, name), code, reason);
        expect(performance.now() - started).to.be.below(3000);
      }
    }).timeout(20_000);
  }
});

/** A pipe. Who waits for its other end, as no reader should, sees an empty file after 4 s, so that tests end. */
function pipeAt(path: string): void {
  execFileSync('mkfifo', [path]);
  const script = 'sleep 4; [ -p "$1" ] && exec 3<>"$1"';
  spawn('sh', ['-c', script, 'sh', path], { stdio: 'ignore', detached: true }).unref();
}

describe('readers bound what they allocate', () => {
  const folder = temporaryFolder();

  it('PNG bombs: pixels beyond the header, other compressed chunks, sizes beyond the limit', async () => {
    const bomb = zeros(200e6);
    const profile = chunk('iCCP', Buffer.concat([Buffer.from('x\0\0'), bomb]));
    const text = chunk('zTXt', Buffer.concat([Buffer.from('x\0\0'), bomb]));
    const one = chunk('IDAT', deflateSync(Buffer.from([0, 7])));
    const grew = await growth(async () => {
      await expectLinbpError(() => decodePng(png(1, 1, 8, 0, chunk('IDAT', bomb))), 'bad-file', /damaged PNG/);
      expect([...decodePng(png(1, 1, 8, 0, profile, text, one)).data]).to.deep.equal([7]);
      await expectLinbpError(() => decodePng(png(8192, 8192, 16, 6, one)), 'bad-file', /bytes of pixels/);
      await expectLinbpError(() => decodePng(png(60000, 60000, 8, 0, one)), 'bad-file', /refused/);
    });
    expect(grew).to.be.below(150);
  });

  it('a large 16-bit PNG that is permitted is read', () => {
    const side = 2000;
    const image = decodePng(png(side, side, 16, 0, chunk('IDAT', zeros(side * (2 * side + 1)))));
    expect(image.data.length).to.equal(side * side);
  });

  it('IDX: images that are more than the labels are not unpacked', async () => {
    const count = 100_000;
    const head = Buffer.alloc(16);
    [2051, count, 28, 28].forEach((word, i) => head.writeUInt32BE(word, 4 * i));
    const images = join(folder(), 'images.gz');
    writeFileSync(images, gzipSync(Buffer.concat([head, Buffer.alloc(count * 784)]), { level: 1 }));
    const labels = Buffer.alloc(18, 1);
    labels.writeUInt32BE(2049, 0);
    labels.writeUInt32BE(10, 4);
    writeFileSync(join(folder(), 'labels'), labels);
    const grew = await growth(() =>
      expectLinbpError(
        () => idxDataset('x', 'test', images, join(folder(), 'labels'), ['0', '1']),
        'bad-file',
        /100000 images.* 10 labels/,
      ),
    );
    expect(grew).to.be.below(50);
  });

  it('images in a row: markers without images, and more bytes than so many images have', async () => {
    const put = (name: string, labels: number, content: Buffer): string => {
      const place = join(folder(), name);
      mkdirSync(join(place, 'cifar10'), { recursive: true });
      writeFileSync(join(place, 'cifar10', 'labels-test.u8'), Buffer.alloc(labels));
      writeFileSync(join(place, 'cifar10', 'jpeg-test.jpgs.gz'), gzipSync(content, { level: 1 }));
      return place;
    };
    const markers = put('markers', 1000, Buffer.alloc(8e6, Buffer.of(0xff, 0xd8)));
    const zeros = put('zeros', 10, Buffer.alloc(300e6));
    const grew = await growth(async () => {
      await expectLinbpError(() => loadCifar10Jpeg('test', markers), 'bad-file', /more images than the 1000 labels/);
      await expectLinbpError(
        () => loadCifar10Jpeg('test', zeros),
        'bad-file',
        /the expected 81920 bytes|expected at most/,
      );
    });
    expect(grew).to.be.below(100);
  });

  it('files of more bytes than a reader takes, most of which the disk need not have', async () => {
    const sparse = (name: string, head: Uint8Array, bytes: number): string => {
      const path = join(folder(), name);
      const descriptor = openSync(path, 'w');
      writeSync(descriptor, head);
      closeSync(descriptor);
      truncateSync(path, bytes);
      return path;
    };
    // The old format of PyTorch begins with a pickled number.
    const magic = Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]);
    const grew = await growth(async () => {
      await expectLinbpError(() => readWeights(sparse('old.pt', magic, 5e9)), 'bad-file', /5000000000 bytes/);
      const model = sparse('m.onnx', Buffer.from([8, 8]), 5e9);
      await expectLinbpError(() => importOnnx(model), 'limit-exceeded', /2 GiB/);
      const names = sparse('names.txt', Buffer.from('a\n'), 5e9);
      await expectLinbpError(() => readNames(names, 2), 'bad-file', /5000000000 bytes/);
      const image = sparse('one.png', Buffer.from([0x89, 0x50]), 5e9);
      await expectLinbpError(() => readPixels([image], lenet5, {}, signal), 'bad-file', /5000000000 bytes/);
    });
    expect(grew).to.be.below(50);
  });

  it('safetensors: shapes beyond the data, nested and endless headers are typed errors of a short line', async () => {
    const deep = (open: string, close: string, n: number): string => open.repeat(n) + close.repeat(n);
    const entry = (dtype: string, shape: string, offsets = '[0,4]'): string =>
      `{"a":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}}`;
    for (const header of [
      entry('"F32"', '[9007199254740991]'),
      entry('"F32"', deep('[', ']', 200_000)),
      entry(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`, '[1]'),
      entry('"F32"', '[1]', deep('[', ']', 200_000)),
      entry('"F32"', `[${'1,'.repeat(1e6)}2]`),
      entry(`"${'x'.repeat(1e6)}"`, '[1]'),
      `{"${'x'.repeat(1e6)}":1}`,
      deep('[', ']', 1e6),
      `{"__metadata__":{"${'k'.repeat(1e6)}":1}}`,
    ]) {
      const error = await expectLinbpError(() => decodeSafetensors(safetensors(header)), 'bad-file', /./);
      expect(error.message.length, header.slice(0, 60)).to.be.below(1000);
    }
  });
});

describe('text from outside is escaped and cut', () => {
  const folder = temporaryFolder();

  const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/;
  const hostile = '\u001b]0;PWNED\u0007\u001b[2J\u001b[31mok\r\u009b\u202e';

  it('in names of tensors, classes and files', async () => {
    const header = JSON.stringify({ [hostile]: { dtype: 'f32', shape: [1], data_offsets: [0, 4] } });
    const tensor = await expectLinbpError(() => decodeSafetensors(safetensors(header)), 'bad-file', /\\u001b/);
    expect(tensor.message).not.to.match(control);
    const missing = await expectLinbpError(() => readSafetensors(`/nowhere/${hostile}`), 'missing-file', /\\u001b/);
    expect(missing.message).not.to.match(control);
    writeFileSync(join(folder(), 'labels.json'), JSON.stringify([{ file: `../${hostile}`, index: 1 }]));
    const label = await expectLinbpError(() => listImageFolder(folder()), 'bad-file', /outside/);
    expect(label.message).not.to.match(control);
  });

  it('in every error, however the text got in', () => {
    const error = new LinbpError('bad-file', `${hostile}${'y'.repeat(1e6)}`);
    expect(error.message).not.to.match(control);
    expect(error.message.length).to.be.below(5000);
    expect(new LinbpError('gpu-error', 'line 1\n\tline 2').message).to.equal('line 1\n\tline 2');
  });

  it('by one function each for text and for values', () => {
    expect(quoted(`a"b${hostile}`)).to.match(/^"a\\"b\\u001b/);
    expect(quoted('x'.repeat(1000))).to.have.length(102);
    expect(quotedValue([1, 'a', [2], { b: 3 }, null, true])).to.equal('[1, "a", [...], {...}, null, true]');
    expect(quotedValue(Array.from({ length: 100 }, () => 1)).length).to.be.below(40);
  });
});

describe('image folders', () => {
  const folder = temporaryFolder();

  it('refuse labels outside 32 bits', async () => {
    for (const index of [2 ** 32, 2 ** 32 + 1, 2 ** 31, 2 ** 53, -1, 0.5]) {
      writeFileSync(join(folder(), 'labels.json'), JSON.stringify({ 'a.png': index }));
      await expectLinbpError(() => listImageFolder(folder()), 'bad-file', /label/);
    }
  });

  it('refuse class folders whose names are not UTF-8, and name them', async function () {
    if (process.platform !== 'linux') pending(this, 'Linux');
    mkdirSync(join(folder(), 'cat'));
    writeFileSync(join(folder(), 'cat', '1.png'), '');
    mkdirSync(Buffer.concat([Buffer.from(`${folder()}/d`), Buffer.from([0xff, 0x67])]));
    await expectLinbpError(() => listImageFolder(folder()), 'bad-file', /d\\xffg is not UTF-8/);
  });
});
