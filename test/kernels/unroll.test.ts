import { expect } from 'chai';
import { decideBranches } from '../../src/wgsl/branches.js';
import { constantLanes, unrollLanes, unrollLoops } from '../../src/wgsl/unroll.js';

describe('written-out loops', () => {
  const constants = 'const A = 4u;\nconst B = 2u;\n';
  const of = (body: string): string => unrollLoops(constants + body).slice(constants.length);

  it('writes a block per iteration, inner loops too', () => {
    expect(of('for (var i = 0u; i < B; i++) { x[i] = i1 + f(i); }')).to.equal(
      '{ x[0u] = i1 + f(0u); }\n{ x[1u] = i1 + f(1u); }\n',
    );
    expect(of('for (var i = 0u; i < B; i++) {for (var j = 0u; j + 1u < B + 1u; j++) {g(i, j);}}')).to.equal(
      '{{g(0u, 0u);}\n{g(0u, 1u);}\n}\n{{g(1u, 0u);}\n{g(1u, 1u);}\n}\n',
    );
  });

  it('evaluates sums, differences and quotients of constants', () => {
    const count = (bound: string): number => of(`for (var i = 0u; i < ${bound}; i++) {;}`).split(';').length - 1;
    expect([count('A / B'), count('A + B - 1u'), count('3u')]).to.deep.equal([2, 5, 3]);
  });

  it('leaves loops of unknown or great length, and those that are left early', () => {
    for (const loop of [
      'for (var i = 0u; i < p.rows; i++) { f(i); }',
      'for (var i = 0u; i < select(p.rows, A, false); i++) { f(i); }',
      'for (var i = 0u; i < 33u; i++) { f(i); }',
      'for (var i = 0u; i < A; i++) { if (i > n) { break; } }',
      'for (var i = 0u; i < A + B / 2u; i++) { f(i); }',
      'for (var i = n; i < A; i++) { f(i); }',
    ]) {
      expect(of(loop)).to.equal(loop);
    }
    expect(of('for (var k = 0u; k < p.n; k++) {for (var i = 0u; i < B; i++) {f(i);}}')).to.equal(
      'for (var k = 0u; k < p.n; k++) {{f(0u);}\n{f(1u);}\n}',
    );
  });

  it('writes out lanes that share a load and nothing else, and names each by a constant', () => {
    const loops =
      'for (var g = 0u; g < A; g++) { for (var i = 0u; i < B; i++) {for (var j = 0u; j < B; j++) { ' +
      'f(broadcast(left[g][j], lane, i), j); }} }';
    const written = unrollLanes(constants + loops).slice(constants.length);
    const inner = (lane: string): string =>
      `for (var j = 0u; j < B; j++) { f(broadcast(left[g][j], lane, ${lane}), j); }`;
    expect(written).to.equal(`for (var g = 0u; g < A; g++) { {${inner('0u')}}\n{${inner('1u')}}\n }`);
    expect(constantLanes(written)).to.include('f(subgroupBroadcast(left[g][j], 1u), j)').and.not.include('lane');
    expect(constantLanes('broadcast(value, lane, tap % SG)')).to.equal('broadcast(value, lane, tap % SG)');
  });
});

describe('branches that a flag decides', () => {
  const flags = 'const YES = true;\nconst NO = false;\n';
  const of = (body: string): string => decideBranches(flags + body).slice(flags.length);

  it('keeps the block that runs, and inner branches in it', () => {
    expect(of('if (YES) { a; } else { b; }')).to.equal('{ a; }');
    expect(of('if (NO) { a; } else { if (YES) { b; } }')).to.equal('{ { b; } }');
    expect(of('if (!YES) { a; }\nc;')).to.equal('{}\nc;');
  });

  it('works inside chains, whichever link is decided', () => {
    expect(of('if (x) { a; } else if (YES) { b; } else { c; }')).to.equal('if (x) { a; } else { b; }');
    expect(of('if (NO) { a; } else if (x) { b; } else { c; } d;')).to.equal('if (x) { b; } else { c; } d;');
    expect(of('if (YES) { a; } else if (x) { b; } else { c; } d;')).to.equal('{ a; } d;');
    expect(of('if (NO) { a; } else if (YES) { b; }')).to.equal('{ b; }');
  });

  it('leaves conditions alone that are more than a flag', () => {
    for (const text of ['if (x) { a; }', 'if (YES && x) { a; }', 'if (OTHER) { a; }']) expect(of(text)).to.equal(text);
  });
});
