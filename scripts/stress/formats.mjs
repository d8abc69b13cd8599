/** What linbp reads: for each format intact examples, and what reads them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32, gzipSync } from 'node:zlib';

const at = (name) => import(new URL(`../../dist/src/${name}.js`, import.meta.url).href);
const fixture = (name) => readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url));
const json = (value) => Buffer.from(JSON.stringify(value));

/** Puts right the checksums of a PNG's chunks, as far as they can be found, so that their contents are looked at. */
function mendPng(bytes) {
  for (let place = 8; place + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(place);
    if (place + 12 + length > bytes.length) break;
    bytes.writeUInt32BE(crc32(bytes.subarray(place + 4, place + 8 + length)), place + 8 + length);
    place += 12 + length;
  }
  return bytes;
}

const tensors = {
  input: { shape: [2, 3], data: Float32Array.from([1, 2, 3, 4, 5, 6]) },
  labels: { shape: [2], data: Int32Array.from([0, 1]) },
  deep: { shape: [0, 4], data: new Uint16Array(0), dtype: 'BF16' },
};

function npy(descr, shape, data) {
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const padded = `${header.padEnd(118 - 1)}\n`;
  return Buffer.concat([
    Buffer.from('\x93NUMPY\x01\x00v\x00', 'latin1'),
    Buffer.from(padded, 'latin1'),
    Buffer.from(data.buffer),
  ]);
}

/** Files of data sets, whose names are given. */
async function dataSets(put) {
  const { parseIdx, readIdx } = await at('data/idx');
  const { loadCifar10, loadCifar10Jpeg } = await at('data/cifar10');
  const { loadCifar100 } = await at('data/cifar100');
  const { loadArrayFile } = await at('data/arrayFile');
  const { readNpy } = await at('io/numpy');
  const { default: sharp } = await import('sharp');
  const pixels = (n) => Buffer.from({ length: n }, (_, i) => (i * 37) % 251);
  const square = (side) =>
    sharp(Buffer.from(Uint8Array.from({ length: 3 * side * side }, (_, i) => (i * 37) % 251)), {
      raw: { width: side, height: side, channels: 3 },
    });
  const idx = Buffer.alloc(16 + 4 * 25, 7);
  [2051, 4, 5, 5].forEach((word, i) => idx.writeUInt32BE(word, 4 * i));
  const record = Buffer.alloc(3073, 9);
  const jpegs = Buffer.concat([await square(32).jpeg().toBuffer(), await square(32).jpeg().toBuffer()]);
  put('jpeg/cifar10/labels-test.u8', Buffer.from([3, 4]));
  return [
    { name: 'idx', examples: [idx], read: (bytes) => parseIdx(bytes, 3, 'fuzz') },
    { name: 'idx, gzip', examples: [gzipSync(idx)], read: (bytes) => readIdx(put('idx.gz', bytes), 3) },
    {
      name: 'cifar10',
      examples: [record, gzipSync(record)],
      read: (bytes) => loadCifar10('test', dirname(dirname(put('bin/cifar10/test_batch.first1.bin', bytes)))),
    },
    {
      name: 'cifar10, jpeg',
      examples: [jpegs],
      read: (bytes) => loadCifar10Jpeg('test', dirname(dirname(put('jpeg/cifar10/jpeg-test.jpgs', bytes)))),
    },
    {
      name: 'cifar100',
      examples: [Buffer.alloc(3074, 9), gzipSync(Buffer.alloc(3074, 9))],
      read: (bytes) => loadCifar100('test', dirname(dirname(put('bin/cifar100/test.bin', bytes)))),
    },
    {
      name: 'npy',
      examples: [
        npy('|u1', [2, 3], Uint8Array.from(pixels(6))),
        npy('<f4', [3], Float32Array.of(0, 0.5, 1)),
        npy('<i8', [2], BigInt64Array.of(1n, 2n)),
      ],
      read: (bytes) => readNpy(bytes, 'fuzz'),
    },
    {
      name: 'npz',
      examples: [fixture('numpy/digits.npz')],
      read: (bytes) => loadArrayFile(put('arrays.npz', bytes), 'test'),
    },
    ...images(await at('data/images'), await at('io/png'), await square(9).jpeg().toBuffer()),
  ];
}

function images({ decodeImage }, { encodePng, decodePng }, jpeg) {
  const png = encodePng({ channels: 3, height: 9, width: 7, data: new Uint8Array(189).map((_, i) => i) });
  return [
    { name: 'png', examples: [png], read: (bytes) => decodePng(mendPng(bytes)) },
    { name: 'png by sharp', examples: [png], read: (bytes) => decodeImage({ bytes: mendPng(bytes), source: 'fuzz' }) },
    { name: 'jpeg by sharp', examples: [jpeg], read: (bytes) => decodeImage({ bytes, source: 'fuzz' }) },
  ];
}

/** A checkpoint of a tiny network in a file. */
async function storedCheckpoint(file, network, states) {
  const { writeCheckpoint } = await at('train/checkpoint');
  const { parameterElements } = (await at('nn/definition')).describeModel(network).layout;
  await writeCheckpoint(file, network, states, {
    snapshot: {
      parameters: new Float32Array(parameterElements),
      buffers: new Float32Array(0),
      states: states.map(() => new Float32Array(parameterElements)),
    },
    position: { epoch: 1, samples: 4, step: 3, lossSum: 1.5, correctSum: 2, seconds: 0.1 },
    history: JSON.stringify([{ epoch: 1, trainLoss: 1.2 }]),
    fingerprint: { model: 'tiny' },
    kernels: ['gemm'],
  });
}

async function weights(put) {
  const { decodeSafetensors, encodeSafetensors } = await at('io/safetensors');
  const { readWeights } = await at('io/weights');
  const { readTorch } = await at('io/torch/index');
  const { importOnnx, readOnnxTensor } = await at('onnx/index');
  const { parseHistory, readCheckpoint } = await at('train/checkpoint');
  const small = Buffer.concat(encodeSafetensors(tensors, { format: 'pt' }));
  put('shard.safetensors', small);
  const network = { name: 'tiny', input: [1, 2, 2], classes: 2, build: (net, x) => net.linear('a', net.flatten(x), 2) };
  const states = ['exp_avg', 'exp_avg_sq'];
  const checkpoint = put('run.state.safetensors', '');
  await storedCheckpoint(checkpoint, network, states);
  const state = readFileSync(checkpoint);
  return [
    {
      name: 'safetensors',
      examples: [small],
      read: (bytes) => [...decodeSafetensors(bytes).tensors.values()].map((tensor) => tensor.data),
    },
    { name: 'weights', examples: [small], read: (bytes) => readWeights(put('w.bin', bytes)) },
    {
      name: 'sharded index',
      examples: [
        json({ metadata: { total_size: 32 }, weight_map: { input: 'shard.safetensors', labels: 'shard.safetensors' } }),
      ],
      read: (bytes) => readWeights(put('model.safetensors.index.json', bytes)),
    },
    {
      name: 'checkpoint',
      examples: [state],
      read: async (bytes) => {
        const { history, position } = await readCheckpoint(put('run.state.safetensors', bytes), network, states, {
          model: 'tiny',
        });
        parseHistory(history, position.epoch, checkpoint);
      },
    },
    {
      name: 'pytorch',
      examples: ['cuda', 'deflated', 'views_legacy', 'protocol4'].map((name) => fixture(`pytorch/${name}.pth`)),
      read: (bytes) => readTorch(bytes),
    },
    {
      name: 'onnx',
      examples: [fixture('onnx/networks/no_names.onnx')],
      read: (bytes) => importOnnx(bytes, { size: [32, 32] }),
    },
    {
      name: 'onnx tensor',
      examples: [Buffer.from([8, 2, 16, 1, 66, 1, 120, 74, 8, 0, 0, 128, 63, 0, 0, 0, 64])],
      read: (bytes) => readOnnxTensor(bytes),
    },
  ];
}

async function texts(put) {
  const { listImageFolder } = await at('data/folder');
  const { explicitClasses } = await at('data/classes');
  const { OutputFolder } = await at('io/outputFolder');
  const { parseRules } = await at('rules/parse');
  const { readTuning } = await at('choices/stored');
  const classes = (file) => (bytes) => explicitClasses(dirname(put(`lists/${file}`, bytes)), [file]);
  const tuning = {
    format: 1,
    identity: { vendor: 'v', processor: '' },
    orders: [],
    entries: [{ key: 'gemm', choice: { kernel: 'gemm' } }],
  };
  return [
    {
      name: 'labels.json',
      examples: [
        json([
          { file: 'a_1.png', index: 1 },
          { file: 'b.png', index: 0 },
        ]),
      ],
      read: (bytes) => listImageFolder(dirname(put('folder/labels.json', bytes))),
    },
    { name: 'classes.txt', examples: [Buffer.from('cat\ndog\nn01440764 tench\n')], read: classes('classes.txt') },
    {
      name: 'imagenet-classes.txt',
      examples: [Buffer.from('n01440764\ttench\nn01443537\tgoldfish\n')],
      read: classes('imagenet-classes.txt'),
    },
    {
      name: 'linbp-manifest.json',
      examples: [json({ format: 1, command: 'attack', files: ['report.html', 'clean/a.png'] })],
      read: (bytes) => OutputFolder.open(dirname(put('out/linbp-manifest.json', bytes)), 'attack'),
    },
    {
      name: 'tuning table',
      forgiving: true, // A damaged one is passed over with a warning.
      examples: [json(tuning)],
      read: (bytes) => readTuning(put('tuning.json', bytes), tuning.identity),
    },
    {
      name: 'rules',
      examples: [Buffer.from('linbp:from=3_1,match=block+softplus:beta=0.5')],
      read: (bytes) => parseRules(bytes.toString('latin1')),
    },
  ];
}

/** @param folder where files are written */
export async function formats(folder) {
  const put = (name, content) => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  };
  put('folder/a_1.png', '');
  put('folder/b.png', '');
  return [...(await weights(put)), ...(await dataSets(put)), ...(await texts(put))];
}
