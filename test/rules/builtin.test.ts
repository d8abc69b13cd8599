import { expect } from 'chai';
import { bp, builtinRules, deconvnet, guided, leaky, linbp, silu, softplus } from '../../src/rules/builtin.js';
import type { ActivationKind, BoundRule } from '../../src/graph/rule.js';
import { errorOf, noise } from '../reference/support.js';

const apply = (use: BoundRule, g: number, d: number, z: number): number => use.rule.reference(g, d, z, use.values);
const sigma = (x: number): number => 1 / (1 + Math.exp(-x));
const derivative = (kind: ActivationKind, z: number): number => (z > 0 && (kind === 'relu' || z < 6) ? 1 : 0);

describe('built-in rules', () => {
  it('follow their formulas on random z and g', () => {
    const z = noise(200, -9, 9);
    const g = noise(200);
    const [a, beta] = [Math.random(), 0.1 + Math.random()];
    z.forEach((zi, i) => {
      const gi = g[i]!;
      const d = derivative('relu', zi);
      const expected: [BoundRule, number][] = [
        [bp, zi > 0 ? gi : 0],
        [linbp, gi],
        [leaky(a), zi > 0 ? gi : a * gi],
        [softplus(beta), gi * sigma(beta * zi)],
        [silu(), gi * (sigma(zi) + zi * sigma(zi) * (1 - sigma(zi)))],
        [guided, gi > 0 && zi > 0 ? gi : 0],
        [deconvnet, gi > 0 ? gi : 0],
      ];
      for (const [use, value] of expected) expect(apply(use, gi, d, zi), use.rule.name).to.be.closeTo(value, 1e-12);
    });
  });

  it('mean for ReLU6 what they mean for ReLU(z) - ReLU(z - 6)', () => {
    for (const z of [-2, 0, 3, 6, 7, 8.5]) {
      const d = derivative('relu6', z);
      expect(apply(linbp, 1.5, d, z)).to.equal(1.5);
      expect(apply(bp, 1.5, d, z)).to.equal(z === 3 ? 1.5 : 0);
      expect(apply(leaky(0.25), 1, d, z)).to.equal(z === 3 ? 1 : 0.25);
      // The difference of the smoothed functions, differentiated numerically.
      const smooth = (x: number): number => Math.log1p(Math.exp(2 * x)) / 2 - Math.log1p(Math.exp(2 * (x - 6))) / 2;
      const swish = (x: number): number => x * sigma(x) - (x - 6) * sigma(x - 6);
      expect(apply(softplus(2, 'relu6'), 1, d, z)).to.be.closeTo((smooth(z + 1e-5) - smooth(z - 1e-5)) / 2e-5, 1e-8);
      expect(apply(silu('relu6'), 1, d, z)).to.be.closeTo((swish(z + 1e-5) - swish(z - 1e-5)) / 2e-5, 1e-8);
    }
  });

  it('leaky joins bp and linbp', () => {
    for (const d of [0, 1]) {
      expect(apply(leaky(0), 2, d, 0)).to.equal(apply(bp, 2, d, 0));
      expect(apply(leaky(1), 2, d, 0)).to.equal(apply(linbp, 2, d, 0));
    }
  });

  it('stay finite far from zero', () => {
    for (const z of [-1e4, 1e4])
      for (const use of [softplus(20), silu(), softplus(20, 'relu6'), silu('relu6')])
        expect(apply(use, 1, 0, z)).to.satisfy(Number.isFinite);
  });

  it('only linbp is the identity, and each saves no more than it reads', () => {
    const entries = Object.values(builtinRules);
    expect(entries.filter((rule) => rule.identity).map((rule) => rule.name)).to.deep.equal(['linbp']);
    for (const rule of entries) {
      const values = rule.parameters.map(() => 0.5);
      const at = (d: number, z: number): number => rule.reference(1, d, z, values);
      if (rule.saves === 'nothing') expect(at(0, -1)).to.equal(at(1, 2));
      if (rule.saves === 'mask') expect(at(1, 0)).to.equal(at(1, 2));
    }
  });

  it('refuse parameters out of range', () => {
    expect(errorOf(() => softplus(0)).code).to.equal('bad-range');
    expect(errorOf(() => softplus(NaN)).field).to.equal('beta');
    expect(errorOf(() => leaky(Infinity)).field).to.equal('a');
  });
});
