import { expect } from 'chai';
import { namesAvx512, usesAvx512 } from '../../src/runtime/processor.js';

describe('the processor', () => {
  const text = (flags: string): string =>
    `processor\t: 0\nmodel name\t: some\nflags\t\t: ${flags}\nbugs\t\t: avx512vl\n`;

  it('has AVX-512 where its flags name it for vectors of all lengths', () => {
    expect(
      ['fpu avx512vl', 'avx512vl', 'avx2 avx512f avx512vl xsave'].map((flags) => namesAvx512(text(flags))),
    ).to.deep.equal([true, true, true]);
    expect(['fpu avx2', 'avx512f avx512bw', 'avx512vlx', ''].map((flags) => namesAvx512(text(flags)))).to.deep.equal([
      false,
      false,
      false,
      false,
    ]);
    expect(namesAvx512('')).to.equal(false);
  });

  it('does not count where an adapter does not compute on it, or with a compiler that makes no use of it', () => {
    expect(usesAvx512({ software: false, description: 'some GPU' })).to.equal(false);
    expect(usesAvx512({ software: true, description: 'SwiftShader Device (LLVM 10.0.0)' })).to.equal(false);
  });
});
