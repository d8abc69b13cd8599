import { statSync, truncateSync, writeFileSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { halfToFloat } from '../../src/io/half.js';
import {
  decodeSafetensors,
  encodeSafetensors,
  readSafetensors,
  tensorAsFloat32,
  tensorAsInt32,
  writeSafetensors,
} from '../../src/io/safetensors.js';
import { goldenFolder, loadGolden } from '../support/golden.js';
import { expectLinbpError, randomInteger, temporaryFolder } from './support.js';

function file(header: unknown, dataBytes: number, lengthField?: bigint): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const result = Buffer.alloc(8 + json.length + dataBytes);
  result.writeBigUInt64LE(lengthField ?? BigInt(json.length));
  json.copy(result, 8);
  return result;
}

const f32 = (shape: unknown, begin: unknown, end: unknown) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('safetensors', () => {
  const folder = temporaryFolder();

  it('reads back what was written: dtypes, shapes, bits, order, metadata', async () => {
    const path = join(folder(), 'a.safetensors');
    const weights = Float32Array.from({ length: 12 }, () => Math.random() - 0.5);
    weights[3] = -0;
    const bytes = Uint8Array.from({ length: 5 }, () => randomInteger(256));
    await writeSafetensors(
      path,
      new Map([
        ['mask', { shape: [5], data: bytes }],
        ['10', { shape: [3, 4], data: weights }],
        ['2', { shape: [], data: Int32Array.of(-7) }],
        ['empty', { shape: [0, 9], data: new Float32Array(0) }],
        ['__proto__', { shape: [2], data: BigInt64Array.of(-1n, 1n << 40n) }],
      ]),
      { step: '17', 'ключ "q"': '\u0000x' },
    );
    const read = await readSafetensors(path);
    expect([...read.tensors.keys()].sort()).to.deep.equal(['10', '2', '__proto__', 'empty', 'mask']);
    expect({ ...read.metadata }).to.deep.equal({ step: '17', 'ключ "q"': '\u0000x' });
    const tensor = (name: string) => read.tensors.get(name)!.read();
    expect(Buffer.from(tensorAsFloat32(await tensor('10')).buffer).equals(Buffer.from(weights.buffer))).to.equal(true);
    expect(read.tensors.get('10')!.shape).to.deep.equal([3, 4]);
    expect([...tensorAsInt32(await tensor('2'))]).to.deep.equal([-7]);
    expect([...(await tensor('mask')).data]).to.deep.equal([...bytes]);
    expect([...tensorAsFloat32(await tensor('__proto__'))]).to.deep.equal([-1, 2 ** 40]);
  });

  it('aligns header and tensors as the reference implementation does', () => {
    const [header, ...rest] = encodeSafetensors({
      a: { shape: [3], data: new Uint8Array(3) },
      b: { shape: [1], data: new Float32Array(1) },
    });
    expect(header!.length % 8).to.equal(0);
    expect(rest.map((piece) => piece.length)).to.deep.equal([4, 3]);
    expect(header![8]).to.equal('{'.charCodeAt(0));
  });

  it('converts every half exactly', () => {
    // Law: finite halves are increasing in their bits, one ulp apart, and hit the known landmarks.
    const known: [number, number][] = [
      [0x0001, 2 ** -24],
      [0x03ff, 1023 * 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3555, 0.333251953125],
      [0x3c00, 1],
      [0x7bff, 65504],
      [0x7c00, Infinity],
      [0xc000, -2],
    ];
    for (const [bits, value] of known) expect(halfToFloat(bits)).to.equal(value);
    for (let bits = 1; bits < 0x7c00; bits++) {
      const ulp = 2 ** (Math.max(bits - 1, 0x400) >> 10) * 2 ** -25;
      expect(halfToFloat(bits) - halfToFloat(bits - 1)).to.equal(ulp);
      expect(halfToFloat(bits | 0x8000)).to.equal(-halfToFloat(bits));
    }
    expect(Object.is(halfToFloat(0x8000), -0)).to.equal(true);
    expect(halfToFloat(0x7c01)).to.be.NaN;
  });

  it('converts F16, BF16 and integers', () => {
    const read = decodeSafetensors(
      Buffer.concat(
        encodeSafetensors({
          h: { dtype: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xc100) },
          b: { dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc020) },
          i: { shape: [2], data: BigInt64Array.of(5n, -3n) },
          u: { shape: [1], data: Uint8Array.of(200) },
        }),
      ),
    );
    expect([...tensorAsFloat32(read.tensors.get('h')!)]).to.deep.equal([1, -2.5]);
    expect([...tensorAsFloat32(read.tensors.get('b')!)]).to.deep.equal([1, -2.5]);
    expect([...tensorAsInt32(read.tensors.get('i')!)]).to.deep.equal([5, -3]);
    expect([...tensorAsFloat32(read.tensors.get('u')!)]).to.deep.equal([200]);
  });

  it('reads a file written by another implementation at any alignment', () => {
    const golden = loadGolden('lenet5.eval');
    const bytes = readFileSync(`${goldenFolder}lenet5.eval.safetensors`);
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    const other = decodeSafetensors(shifted.subarray(3));
    expect(golden.tensors.size).to.be.greaterThan(10);
    for (const [name, tensor] of golden.tensors) {
      if (tensor.dtype === 'F32')
        expect(tensorAsFloat32(other.tensors.get(name)!)).to.deep.equal(tensorAsFloat32(tensor));
    }
  });

  it('reads large files tensor by tensor and notices when they change', async () => {
    const path = join(folder(), 'big.safetensors');
    const count = 17 * 1024 * 1024;
    const big = new Float32Array(count).fill(0.25);
    await writeSafetensors(path, {
      big: { shape: [count], data: big },
      small: { shape: [2], data: Float32Array.of(3, 4) },
    });
    const read = await readSafetensors(path);
    expect([...tensorAsFloat32(await read.tensors.get('small')!.read())]).to.deep.equal([3, 4]);
    utimesSync(path, new Date(0), new Date(0));
    await expectLinbpError(() => read.tensors.get('big')!.read(), 'bad-file', /big\.safetensors/, /changed/);
    truncateSync(path, statSync(path).size - 1);
    await expectLinbpError(() => readSafetensors(path), 'bad-file', /big\.safetensors/);
  });

  describe('refuses', () => {
    const cases: [string, Uint8Array, RegExp][] = [
      ['an empty file', new Uint8Array(0), /too few/],
      ['a header longer than the file', file({}, 0, 1000n), /header length 1000/],
      ['a header whose text would take gigabytes', file(`{}${' '.repeat(16 * 2 ** 20)}`, 0), /header length .* 16 MiB/],
      ['a negative (huge) header length', file({}, 0, (1n << 64n) - 1n), /header length 18446744073709551615/],
      ['text that is not JSON', file('{"a": ', 0), /not valid JSON/],
      ['invalid UTF-8', file({}, 0).map((byte, i) => (i === 9 ? 0xff : byte)), /not valid JSON/],
      ['a list', file('[]', 0), /not a JSON object/],
      ['null', file('null', 0), /not a JSON object/],
      ['deep nesting', file('['.repeat(100000) + ']'.repeat(100000), 0), /not a JSON object|not valid JSON/],
      ['an entry that is no object', file({ w: 3 }, 0), /tensor w.*not an object/],
      ['no name of a dtype', file({ w: { dtype: 'f32', shape: [1], data_offsets: [0, 4] } }, 4), /tensor w.*f32/],
      [
        'a dtype from the prototype',
        file({ w: { dtype: 'toString', shape: [1], data_offsets: [0, 4] } }, 4),
        /tensor w.*toString/,
      ],
      ['a negative dimension', file({ w: f32([-1], 0, 4) }, 4), /tensor w.*shape/],
      ['a fractional dimension', file({ w: f32([0.5, 2], 0, 4) }, 4), /tensor w.*shape/],
      ['an overflowing shape', file({ w: f32([2 ** 40, 2 ** 40], 0, 4) }, 4), /tensor w.*overflows/],
      ['an overflow hidden by a zero', file({ w: f32([2 ** 40, 2 ** 40, 0], 0, 0) }, 0), /tensor w.*overflows/],
      ['a shape that disagrees with the offsets', file({ w: f32([2], 0, 4) }, 4), /tensor w.*needs 8/],
      ['offsets beyond the data', file({ w: f32([2], 0, 8) }, 4), /tensor w.*outside/],
      ['reversed offsets', file({ w: f32([1], 4, 0) }, 4), /tensor w.*outside/],
      ['text offsets', file({ w: f32([1], '0', '4') }, 4), /tensor w.*data_offsets/],
      ['overlapping tensors', file({ v: f32([2], 0, 8), w: f32([2], 4, 12) }, 12), /tensor w.*overlap/],
      ['a gap', file({ v: f32([1], 0, 4), w: f32([1], 8, 12) }, 12), /tensor w.*gap/],
      ['uncovered bytes at the end', file({ v: f32([1], 0, 4) }, 5), /cover 4 bytes.*holds 5/],
      [
        'duplicate tensors',
        file(
          '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
            '"\\u0077":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
          4,
        ),
        /"w" occurs twice/,
      ],
      [
        'duplicate fields',
        file('{"w":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', 4),
        /"dtype" occurs twice/,
      ],
      ['metadata that are no strings', file({ __metadata__: { step: 3 } }, 0), /__metadata__.*step/],
    ];
    for (const [what, bytes, pattern] of cases) {
      it(what, async () => {
        const path = join(folder(), 'hostile.safetensors');
        writeFileSync(path, bytes);
        await expectLinbpError(() => readSafetensors(path), 'bad-file', /hostile\.safetensors/, pattern);
      });
    }

    it('any truncation of a good file', async () => {
      const good = Buffer.concat(
        encodeSafetensors({ a: { shape: [4], data: new Float32Array(4) }, b: { shape: [3], data: new Uint8Array(3) } }),
      );
      for (let length = 0; length < good.length; length++)
        await expectLinbpError(() => decodeSafetensors(good.subarray(0, length)), 'bad-file');
    });

    it('never anything but a typed error on flipped bytes', () => {
      const good = Buffer.concat(encodeSafetensors({ a: { shape: [4], data: new Float32Array(4) } }, { k: 'v' }));
      for (let trial = 0; trial < 500; trial++) {
        const bad = Uint8Array.from(good);
        bad[randomInteger(good.length - 16)] = randomInteger(256);
        try {
          decodeSafetensors(bad);
        } catch (error) {
          expect((error as Error).name, String(error)).to.equal('LinbpError');
        }
      }
    });

    it('missing files, folders, wrong writes and wrong conversions', async () => {
      await expectLinbpError(() => readSafetensors(join(folder(), 'none')), 'missing-file', /none/);
      await expectLinbpError(() => readSafetensors(folder()), 'bad-file', /not a regular file/);
      await expectLinbpError(
        () => encodeSafetensors({ w: { shape: [3], data: new Float32Array(2) } }),
        'bad-shape',
        /w/,
      );
      await expectLinbpError(
        () => encodeSafetensors({ __metadata__: { shape: [0], data: new Float32Array(0) } }),
        'bad-argument',
      );
      await expectLinbpError(() => readSafetensors(new Uint8Array(8) as unknown as string), 'bad-argument', /decode/);
      const { tensors } = decodeSafetensors(
        Buffer.concat(
          encodeSafetensors({
            f: { shape: [1], data: new Float32Array(1) },
            i: { shape: [1], data: BigInt64Array.of(1n << 40n) },
          }),
        ),
      );
      await expectLinbpError(() => tensorAsInt32(tensors.get('f')!), 'bad-dtype', /f/);
      await expectLinbpError(() => tensorAsInt32(tensors.get('i')!), 'bad-range', /i/);
    });
  });
});
