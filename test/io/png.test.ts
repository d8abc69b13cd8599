import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encode } from 'fast-png';
import { expect } from 'chai';
import { decodePng, encodePng, readPng, writePng } from '../../src/io/png.js';
import { expectLinbpError, randomInteger, temporaryFolder } from './support.js';

describe('PNG', () => {
  const folder = temporaryFolder();

  it('is lossless for gray and RGB of any size', async () => {
    for (const channels of [1, 3]) {
      const [height, width] = [1 + randomInteger(40), 1 + randomInteger(40)];
      const data = Uint8Array.from({ length: channels * height * width }, () => randomInteger(256));
      const path = join(folder(), `${channels}.png`);
      await writePng(path, { channels, height, width, data });
      expect(await readPng(path)).to.deep.equal({ channels, height, width, data });
    }
  });

  it('is channel first outside and interleaved inside', () => {
    const image = decodePng(
      encode({ width: 2, height: 1, channels: 3, depth: 8, data: Uint8Array.of(1, 2, 3, 4, 5, 6) }),
    );
    expect([...image.data]).to.deep.equal([1, 4, 2, 5, 3, 6]);
  });

  it('reads 16 bits, alpha and low depths', () => {
    const deep = decodePng(encode({ width: 1, height: 1, channels: 1, depth: 16, data: Uint16Array.of(0xabcd) }));
    expect([...deep.data]).to.deep.equal([0xab]);
    const alpha = decodePng(encode({ width: 1, height: 1, channels: 4, depth: 8, data: Uint8Array.of(9, 8, 7, 6) }));
    expect([alpha.channels, ...alpha.data]).to.deep.equal([3, 9, 8, 7]);
    const bits = decodePng(
      encode({
        width: 10,
        height: 2,
        channels: 1,
        depth: 1,
        data: Uint8Array.of(0b10100000, 0b01000000, 0b00000001, 0b10000000),
      }),
    );
    expect([...bits.data]).to.deep.equal([255, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0]);
  });

  it('refuses damaged, foreign, oversized and missing files, and wrong shapes', async () => {
    const good = encodePng({ channels: 1, height: 4, width: 4, data: new Uint8Array(16).fill(7) });
    for (const length of [0, 8, 33, 50, good.length - 13]) {
      const path = join(folder(), 'cut.png');
      writeFileSync(path, good.subarray(0, length));
      await expectLinbpError(() => readPng(path), 'bad-file', /cut\.png/);
    }
    const huge = Uint8Array.from(good);
    huge.fill(0x7f, 16, 24);
    await expectLinbpError(() => decodePng(huge, 'huge.png'), 'bad-file', /huge\.png.*pixels/);
    const flipped = Uint8Array.from(good);
    flipped[45]! ^= 0xff;
    await expectLinbpError(() => decodePng(flipped, 'f.png'), 'bad-file', /f\.png/);
    await expectLinbpError(() => readPng(join(folder(), 'none.png')), 'missing-file', /none\.png/);
    await expectLinbpError(
      () => writePng(join(folder(), 'x.png'), { channels: 2, height: 1, width: 1, data: new Uint8Array(2) }),
      'bad-shape',
      /channels/,
    );
    await expectLinbpError(
      () => writePng(join(folder(), 'x.png'), { channels: 3, height: 2, width: 1, data: new Uint8Array(2) }),
      'bad-shape',
    );
    expect(readdirSync(folder())).to.deep.equal(['cut.png']);
  });
});
