import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { permutation } from '../../src/random/permutation.js';
import {
  normalPair,
  normals,
  philox4x32,
  randomBits,
  randomStreams,
  uniform01,
  uniforms,
} from '../../src/random/philox.js';
import { expectLinbpError, randomInteger } from '../io/support.js';

const word = (): number => randomInteger(2 ** 32);

describe('Philox4x32-10', () => {
  it('gives the known answers of the paper', () => {
    expect(philox4x32([0, 0, 0, 0], [0, 0])).to.deep.equal([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    const ones = 0xffffffff;
    expect(philox4x32([ones, ones, ones, ones], [ones, ones])).to.deep.equal([
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    ]);
    expect(philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).to.deep.equal([
      0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
    ]);
  });

  it('equals the round function written with 64-bit integers', () => {
    const mask = 0xffffffffn;
    for (let trial = 0; trial < 200; trial++) {
      const counter: [number, number, number, number] = [word(), word(), word(), word()];
      const key: [number, number] = [word(), word()];
      let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
      let [k0, k1] = key.map(BigInt) as [bigint, bigint];
      for (let round = 0; round < 10; round++) {
        const [p0, p1] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
        [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
        [k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask];
      }
      expect(philox4x32(counter, key)).to.deep.equal([c0, c1, c2, c3].map(Number));
    }
  });

  it('numbers depend on element, sample, step, stream and seed only, and each matters', () => {
    const [seed, stream, sample, step] = [word(), word(), word(), word()];
    const long = randomBits(seed, stream, sample, step, 103);
    expect(randomBits(seed, stream, sample, step, 50)).to.deep.equal(long.subarray(0, 50));
    expect([...long.subarray(8, 12)]).to.deep.equal(philox4x32([2, sample, step, 0], [seed, stream]));
    for (const other of [
      randomBits((seed ^ 1) >>> 0, stream, sample, step, 103),
      randomBits(seed, (stream ^ 1) >>> 0, sample, step, 103),
      randomBits(seed, stream, (sample ^ 1) >>> 0, step, 103),
      randomBits(seed, stream, sample, (step ^ 1) >>> 0, 103),
    ].map((bits) => bits.filter((bit, i) => bit === long[i]).length)) {
      expect(other).to.be.below(3);
    }
    expect(new Set(Object.values(randomStreams)).size).to.equal(Object.keys(randomStreams).length);
  });

  it('uniforms fill [0, 1) evenly', () => {
    expect([uniform01(0), uniform01(0xffffffff), uniform01(0x80000000)]).to.deep.equal([0, 1 - 2 ** -24, 0.5]);
    const values = uniforms(word(), 9, 0, 0, 40000);
    const counts = new Array<number>(16).fill(0);
    for (const value of values) counts[Math.floor(value * 16)]!++;
    const chiSquare = counts.reduce((sum, count) => sum + (count - 2500) ** 2 / 2500, 0);
    // 15 degrees of freedom: exceeded once in ten million runs.
    expect(chiSquare).to.be.below(62);
  });

  it('normals have the moments and tails of the standard normal', () => {
    const values = normals(word(), 9, 1, 2, 40001);
    expect(values.length).to.equal(40001);
    const moment = (power: number): number => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    expect(moment(1)).to.be.closeTo(0, 0.03);
    expect(moment(2)).to.be.closeTo(1, 0.05);
    expect(moment(4)).to.be.closeTo(3, 0.4);
    expect(Math.max(...normalPair(0, 0))).to.be.closeTo(Math.sqrt(48 * Math.LN2), 1e-12);
    expect(normalPair(0xffffffff, word()).map(Math.abs)).to.deep.equal([0, 0]);
  });

  it('the shader text has the same constants', () => {
    // What the shader computes is checked on a device; this holds without one.
    const text = readFileSync(fileURLToPath(new URL('../../../shaders/random/philox.wgsl', import.meta.url)), 'utf8');
    for (const constant of ['0xd2511f53u', '0xcd9e8d57u', '0x9e3779b9u', '0xbb67ae85u', 'round < 10u', '0x1p-24'])
      expect(text).to.include(constant);
  });

  it('refuses numbers that are not 32-bit', async () => {
    for (const bad of [-1, 0.5, 2 ** 32, NaN]) {
      await expectLinbpError(() => uniforms(bad, 0, 0, 0, 1), 'bad-range', /seed/);
      await expectLinbpError(() => uniforms(0, 0, 0, bad, 1), 'bad-range', /step/);
    }
  });
});

describe('permutation', () => {
  it('is a permutation, a function of seed and epoch', () => {
    const seed = word();
    for (const n of [0, 1, 2, 1000]) {
      const order = permutation(n, seed, 3);
      expect([...order].sort((a, b) => a - b)).to.deep.equal([...Array(n).keys()]);
      expect(permutation(n, seed, 3)).to.deep.equal(order);
    }
    expect(permutation(1000, seed, 4)).to.not.deep.equal(permutation(1000, seed, 3));
    expect(permutation(1000, (seed + 1) % 2 ** 32, 3)).to.not.deep.equal(permutation(1000, seed, 3));
  });

  it('is uniform: each of the 24 orders of four is equally likely', () => {
    const seed = word();
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 4800; epoch++) {
      const order = permutation(4, seed, epoch).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).to.equal(24);
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0);
    // 23 degrees of freedom: exceeded once in ten million runs.
    expect(chiSquare).to.be.below(77);
  });

  it('refuses a negative count', () => expectLinbpError(() => permutation(-1, 0, 0), 'bad-range', /n must/));
});
