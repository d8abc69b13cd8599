import { expect } from 'chai';
import { eightBitValue, isEightBit, quantize } from '../../src/io/quantize.js';
import { expectLinbpError, randomInteger } from './support.js';

const cleanImage = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => randomInteger(256) / 255);
const reload = (pixels: Uint8Array): Float32Array => Float32Array.from(pixels, (pixel) => pixel / 255);

describe('quantize', () => {
  it('keeps the L-infinity ball in integers, for every eps n/255 in both precisions', () => {
    for (let n = 0; n <= 255; n++) {
      const clean = cleanImage(200);
      for (const eps of [n / 255, Math.fround(n / 255)]) {
        const pushed = clean.map((pixel) => Math.min(Math.max(pixel + (Math.random() < 0.5 ? -eps : eps), 0), 1));
        const pixels = quantize(pushed, clean, eps, 'linf');
        pixels.forEach((pixel, i) => {
          const origin = Math.round(clean[i]! * 255);
          const expected = pushed[i]! > clean[i]! ? Math.min(origin + n, 255) : Math.max(origin - n, 0);
          expect(pixel).to.equal(pushed[i] === clean[i] ? origin : expected);
        });
      }
    }
  });

  it('keeps the L-infinity ball for any eps, and clamps what is outside', () => {
    for (let trial = 0; trial < 100; trial++) {
      const eps = Math.random() * 0.3;
      const clean = cleanImage(100);
      const wild = clean.map((pixel) => pixel + (Math.random() - 0.5) * 3 * eps);
      const back = reload(quantize(wild, clean, eps, 'linf'));
      back.forEach((pixel, i) => {
        expect(Math.abs(Math.round(pixel * 255) - Math.round(clean[i]! * 255))).to.be.at.most(Math.floor(eps * 255));
        expect(Math.abs(pixel - clean[i]!)).to.be.at.most(eps + 1e-7);
      });
    }
  });

  it('never moves a pixel further out under L2, so the norm cannot grow', () => {
    for (let trial = 0; trial < 100; trial++) {
      const clean = cleanImage(300);
      const moved = clean.map((pixel) => Math.min(Math.max(pixel + (Math.random() - 0.5) * 0.05, 0), 1));
      const pixels = quantize(moved, clean, 1, 'l2');
      pixels.forEach((pixel, i) => {
        const origin = Math.round(clean[i]! * 255);
        const exact = 255 * moved[i]!;
        expect(Math.abs(pixel - origin)).to.be.at.most(Math.abs(exact - origin) + 1e-4);
        expect(Math.abs(pixel - exact)).to.be.below(1);
      });
    }
  });

  it('leaves 8-bit images as they are', () => {
    const clean = cleanImage(500);
    const other = cleanImage(500);
    expect(reload(quantize(other, clean, 1, 'l2'))).to.deep.equal(other);
    expect(reload(quantize(other, clean, 1, 'linf'))).to.deep.equal(other);
    expect(isEightBit(clean)).to.equal(true);
    for (let k = 0; k < 256; k++)
      expect([eightBitValue(k / 255), eightBitValue(Math.fround(k / 255))]).to.deep.equal([k, k]);
  });

  it('stays as near as a grid allows when the clean pixels are not on it', () => {
    for (let trial = 0; trial < 2000; trial++) {
      const clean = [Math.random()];
      const eps = Math.random() * 0.02;
      const adversarial = [Math.min(Math.max(clean[0]! + (Math.random() * 2 - 1) * eps, 0), 1)];
      const linf = quantize(adversarial, clean, eps, 'linf')[0]! / 255;
      expect(Math.abs(linf - clean[0]!)).to.be.at.most(Math.max(eps, 1 / 510) + 1e-9);
      const l2 = quantize(adversarial, clean, eps, 'l2')[0]! / 255;
      expect(Math.abs(l2 - clean[0]!)).to.be.at.most(Math.abs(adversarial[0]! - clean[0]!) + 1 / 510 + 1e-9);
    }
    expect(isEightBit([0.5001])).to.equal(false);
  });

  it('refuses wrong lengths, radii and values', async () => {
    await expectLinbpError(() => quantize([0], [0, 1], 0.1, 'linf'), 'bad-shape');
    await expectLinbpError(() => quantize([0], [0], -0.1, 'linf'), 'bad-range', /eps/);
    await expectLinbpError(() => quantize([0], [0], NaN, 'linf'), 'bad-range', /eps/);
    await expectLinbpError(() => quantize([NaN], [0], 0.1, 'linf'), 'bad-range', /NaN/);
    await expectLinbpError(() => quantize([0], [1.5], 0.1, 'linf'), 'bad-range', /1\.5/);
  });
});
