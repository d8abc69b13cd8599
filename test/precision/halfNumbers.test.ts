import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { decodeHalf, encodeHalf, floatToHalf, halfToFloat } from '../../src/io/half.js';
import { halfOperands } from '../../src/kernels/half.js';
import { disagreement } from '../../src/program/admitHalf.js';

describe('half precision: numbers', () => {
  it('every bit pattern survives the way to a float and back', () => {
    const changed = Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => {
      const value = halfToFloat(bits);
      return Number.isNaN(value) ? (floatToHalf(value) & 0x7fff) !== 0x7e00 : floatToHalf(value) !== bits;
    });
    expect(changed).to.deep.equal([]);
  });

  it('rounds to the nearer neighbor, of two equally near to the even one', () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x7bff; bits++) {
      const [low, high] = [halfToFloat(bits), halfToFloat(bits + 1)];
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const offset = (0.5 - 1e-6) * (high - low);
      const right =
        floatToHalf(middle) === even &&
        floatToHalf(-middle) === (0x8000 | even) &&
        floatToHalf(low + offset) === bits &&
        floatToHalf(high - offset) === bits + 1;
      if (!right) wrong.push(bits);
    }
    expect(wrong).to.deep.equal([]);
    expect(floatToHalf(65519.99)).to.equal(0x7bff);
    expect(floatToHalf(65520)).to.equal(0x7c00);
    expect(floatToHalf(-Infinity)).to.equal(0xfc00);
  });

  it('arrays are converted element by element', () => {
    const values = Float32Array.from([1, -2, 0.333251953125, 65504]);
    expect(decodeHalf(new Uint8Array(encodeHalf(values).buffer))).to.deep.equal(values);
  });
});

describe('half precision: storage in shaders', () => {
  const shader = (body: string, declared = 'f32'): string =>
    [
      `@group(1) @binding(1) var<storage, read> a: array<${declared}>;`,
      `@group(1) @binding(2) var<storage, read_write> c: array<${declared}>;`,
      body,
    ].join('\n');

  it('converts loads, also inside indices and stores', () => {
    const text = halfOperands(
      shader(
        'fn f(i: u32) { c[p.cBase + i] = max(a[i], a[u32(a[0u]) + 1u]) * 2.0; let ca = ac[i]; if (c[i] == a[i]) { } }',
      ),
      ['a', 'c'],
    );
    expect(text).to.match(/^enable f16;/);
    expect(text).to.include('read> a: array<f16>').and.include('read_write> c: array<f16>');
    expect(text).to.include('c[p.cBase + i] = f16(max(f32(a[i]), f32(a[u32(f32(a[0u])) + 1u])) * 2.0);');
    expect(text).to.include('let ca = ac[i]; if (f32(c[i]) == f32(a[i])) { }');
  });

  it('leaves comments, other arrays and f32 operands alone', () => {
    const body = '// c[i] = a[i] and nothing else\nfn f() { c[0u] = a[0u]; } // a[0';
    const text = halfOperands(shader(body), ['a']);
    expect(text)
      .to.include('// c[i] = a[i] and nothing else\n')
      .and.include('c[0u] = f32(a[0u]); } // a[0')
      .and.include('> c: array<f32>');
    expect(halfOperands(shader(body), [])).to.equal(shader(body));
  });

  it('converts vectors, and copies words without converting', () => {
    const body = 'fn f() { let v = a[1u]; c[1u] = vec4f(v.x, v.y, v.z, v.w); }';
    expect(halfOperands(shader(body, 'vec4f'), ['a', 'c'])).to.include(
      'let v = vec4f(a[1u]); c[1u] = vec4<f16>(vec4f(v.x, v.y, v.z, v.w));',
    );
    expect(halfOperands(shader('fn f() { c[0u] = a[1u]; }', 'u32'), ['a', 'c']))
      .to.include('> c: array<f16>')
      .and.include('{ c[0u] = a[1u]; }');
  });

  it('refuses what it cannot convert', () => {
    expect(() => halfOperands(shader('fn f() { c[0u] += 1.0; }'), ['c'])).to.throw(LinbpError, 'in place');
    expect(() => halfOperands(shader(''), ['b'])).to.throw(LinbpError, '"b"');
  });
});

describe('half precision: the test of a device', () => {
  it('rounding passes; wrong values, saturation instead of infinity and lost NaN do not', () => {
    const expected = Float32Array.from([1, 1e-3, Infinity, NaN]);
    expect(disagreement(Float32Array.from([1 + 2 ** -11, 1e-3, Infinity, NaN]), expected)).to.equal(undefined);
    for (const [index, wrong] of [
      [0, 1.01],
      [1, 0],
      [2, 65504],
      [3, 0],
    ] as const) {
      const actual = expected.slice();
      actual[index] = wrong;
      expect(disagreement(actual, expected), String(wrong)).to.include(`at ${index}`);
    }
  });
});
