import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { readTorch } from '../../src/io/torch/index.js';
import type { TorchTensor } from '../../src/io/torch/index.js';
import { readWeights } from '../../src/io/weights.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { randomBits } from '../support/bits.js';
import { pending } from '../support/pending.js';

interface Expected {
  readonly file: string;
  readonly outcome: 'load' | 'refuse' | 'either';
  readonly tensors?: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype: string;
    readonly sha256: string;
  }[];
}

const sha256 = (data: Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
const shown = (tensors: ReadonlyMap<string, TorchTensor>): unknown[] =>
  [...tensors].map(([name, { shape, dtype, data }]) => ({ name, shape, dtype, sha256: sha256(data) }));

async function refusal(reading: Promise<unknown>): Promise<LinbpError> {
  try {
    await reading;
  } catch (error) {
    expect(error).to.be.instanceOf(LinbpError);
    return error as LinbpError;
  }
  return expect.fail('was read');
}

/** A pickle in the legacy format: magic number, protocol, machine, then `object`, and no storages. */
function legacy(object: Uint8Array | string): Uint8Array {
  const magic = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex');
  const machine = Buffer.from('}X\x0d\0\0\0little_endian\x88s.', 'latin1');
  const parts = [
    Buffer.from('\x80\x02', 'latin1'),
    magic,
    Buffer.from('.\x80\x02M\xe9\x03.\x80\x02', 'latin1'),
    machine,
    Buffer.from('\x80\x02', 'latin1'),
    typeof object === 'string' ? Buffer.from(object, 'latin1') : object,
    Buffer.from('.\x80\x02].', 'latin1'),
  ];
  return new Uint8Array(Buffer.concat(parts));
}

describe('PyTorch files', () => {
  const fixtures = join('test', 'fixtures', 'pytorch');
  const folder = mkdtempSync(join(tmpdir(), 'linbp-torch-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function checkFolder(path: string): Promise<void> {
    for (const { file } of JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as Expected[]) {
      const expected = JSON.parse(readFileSync(join(path, `${file}.json`), 'utf8')) as Expected;
      const bytes = new Uint8Array(readFileSync(join(path, file)));
      for (const source of [join(path, file), bytes]) {
        if (expected.outcome === 'refuse') {
          const error = await refusal(readTorch(source));
          expect(error.code, file).to.equal('bad-file');
        } else if (expected.outcome === 'load') {
          expect(shown(await readTorch(source)), file).to.deep.equal(expected.tensors);
        } else {
          const read = await readTorch(source).catch((error: unknown) => error);
          if (read instanceof Map) expect(shown(read as Map<string, TorchTensor>)).to.deep.equal(expected.tensors);
          else expect(read, file).to.be.instanceOf(LinbpError);
        }
      }
    }
  }

  it('are read exactly or refused, as a list of small files says', () => checkFolder(fixtures));

  it('are read exactly or refused, all 65 of the shared test data', async function () {
    const all = join('..', 'shared', 'onnx', 'pytorch');
    if (!existsSync(all)) return pending(this, 'the shared PyTorch files');
    await checkFolder(all);
  });

  it('names every call and class it refuses, and says how to save weights', async () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['cposix\nsystem\nU\x02ls\x85R', /"posix\.system".*malicious/],
      ['c__builtin__\neval\nU\x011\x85R', /"__builtin__\.eval"/],
      ['ios\npopen\n', /./],
      ['cmynet\nNet\n)\x81}b', /"mynet\.Net".*torch\.save\(model\.state_dict\(\)/],
      ['ctorch._utils\n_rebuild_qtensor\n)R', /_rebuild_qtensor.*unquantized/],
      ['cos\nenviron\n', /"os\.environ"/],
      ['ca\x1b[31m\nb\n', /"a\\u001b\[31m\.b"/],
    ];
    for (const [pickle, message] of cases)
      expect((await refusal(readTorch(legacy(pickle)))).message, pickle).to.match(message);
  });

  it('checks every length before anything is allocated', async () => {
    for (const pickle of [
      'X\xff\xff\xff\x7fab', // a string of 2 GiB
      '\x8d\xff\xff\xff\xff\xff\xff\xff\x7f', // of 2^63 - 1
      '\x8b\xff\xff\xff\x7f', // an integer of 2 GiB
      'B\xff\xff\xff\xff', // bytes
      'r\xff\xff\xff\xff', // a memo index without a value
      'h\x05',
      't', // a mark that is missing
      '',
    ])
      expect((await refusal(readTorch(legacy(pickle)))).code, JSON.stringify(pickle)).to.equal('bad-file');
  });

  it('chooses among several sets of weights by key', async () => {
    const path = join(fixtures, 'ema.pth');
    const plain = await readTorch(path);
    const error = await refusal(readTorch(path, { key: 'nothing' }));
    expect(error.message).to.match(/"state_dict"/);
    const named = await readTorch(path, { key: 'state_dict' });
    expect(shown(named)).to.deep.equal(shown(plain));
  });

  it('mutated bytes give a typed error or tensors, never anything else', async () => {
    const random = randomBits(7);
    const files = ['views_legacy.pth', 'dtypes.pth', 'protocol4.pth', 'lightning.ckpt'];
    for (const file of files) {
      const original = new Uint8Array(readFileSync(join(fixtures, file)));
      for (let round = 0; round < 150; round++) {
        const bytes = original.slice(0, round % 10 === 9 ? random() % original.length : original.length);
        for (let k = 1 + (random() % 4); k > 0; k--) bytes[random() % original.length] = random() & 255;
        const read = await readTorch(bytes).catch((error: unknown) => error);
        if (!(read instanceof Map)) expect(read, `${file}, round ${round}`).to.be.instanceOf(LinbpError);
      }
    }
  });

  it('weights come from safetensors, their shards, or PyTorch, whatever the name', async () => {
    const torch = await readTorch(join(fixtures, 'protocol4.pth'));
    const plain = new Map([...torch].map(([name, { shape, data }]) => [name, { shape, data }]));
    const [first, ...rest] = [...plain];
    await writeSafetensors(join(folder, 'one.safetensors'), plain);
    await writeSafetensors(join(folder, 'model-1.safetensors'), new Map([first!]));
    await writeSafetensors(join(folder, 'model-2.safetensors'), new Map(rest));
    const map = Object.fromEntries([...plain].map(([name], i) => [name, `model-${i === 0 ? 1 : 2}.safetensors`]));
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: map }));
    for (const name of ['one.safetensors', 'model.safetensors.index.json']) {
      const read = await readWeights(join(folder, name));
      expect([...read.keys()]).to.have.members([...plain.keys()]);
      for (const [key, { data }] of plain) expect(await read.get(key)!.values(), key).to.deep.equal(data);
    }
    const fromTorch = await readWeights(join(fixtures, 'protocol4.pth'));
    for (const [key, { data }] of plain) expect(await fromTorch.get(key)!.values(), key).to.deep.equal(data);
  });

  it('shards stay inside the folder of their index', async () => {
    const index = join(folder, 'outside.index.json');
    for (const file of ['../one.safetensors', '/etc/passwd', '..', '']) {
      writeFileSync(index, JSON.stringify({ weight_map: { weight: file } }));
      expect((await refusal(readWeights(index))).message).to.match(/same folder/);
    }
    writeFileSync(index, '{"weight_map": [');
    expect((await refusal(readWeights(index))).message).to.match(/not valid JSON/);
  });
});
