import { expect } from 'chai';
import {
  fnv1a,
  formulaTensor,
  formulaUniform,
  formulaUniforms,
  type FormulaKind,
} from '../../src/io/formulaWeights.js';
import { tensorAsFloat32 } from '../../src/io/safetensors.js';
import { loadGolden, loadGoldenJson } from '../support/golden.js';

describe('formula weights', () => {
  const reference = loadGoldenJson<{ key: string; fnv1a: number; u: number[]; u_1000000: number }>('formula-check');

  it('equals the stored check values', () => {
    expect(fnv1a(reference.key)).to.equal(reference.fnv1a);
    expect([...formulaUniforms(reference.key, 4)]).to.deep.equal(reference.u);
    expect(formulaUniform(fnv1a(reference.key), 1000000)).to.equal(reference.u_1000000);
  });

  it('reproduces the stored input of a golden network', () => {
    const stored = loadGolden('lenet5.eval').tensors.get('input')!;
    expect(formulaTensor('input', stored.shape, 'input')).to.deep.equal(tensorAsFloat32(stored));
  });

  it('keeps each kind in its range, with its mean in the middle', () => {
    const ranges: [FormulaKind, number, number][] = [
      ['weight', -Math.sqrt(6 / 25), Math.sqrt(6 / 25)],
      ['bias', -0.1, 0.1],
      ['bn.weight', 0.4, 0.8],
      ['bn.bias', -0.2, 0.2],
      ['bn.running_mean', -0.2, 0.2],
      ['bn.running_var', 0.6, 1.4],
      ['input', 0, 1],
    ];
    for (const [kind, low, high] of ranges) {
      const values = formulaTensor(`any.${Math.random()}`, [400, 1, 5, 5], kind);
      const scaled = Array.from(values, (value) => (value - low) / (high - low));
      expect(Math.min(...scaled)).to.be.within(-1e-6, 0.01);
      expect(Math.max(...scaled)).to.be.within(0.99, 1 + 1e-6);
      expect(scaled.reduce((sum, value) => sum + value, 0) / values.length).to.be.closeTo(0.5, 0.02);
    }
  });
});
