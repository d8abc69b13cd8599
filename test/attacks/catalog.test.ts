import { expect } from 'chai';
import { attackCatalog, attackNames } from '../../src/attacks/index.js';
import type { AttackName, AttackNorm, AttackOptions } from '../../src/attacks/index.js';
import { settle } from '../../src/attacks/options.js';
import type { LinbpError } from '../../src/errors.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { linearModel } from './support.js';

describe('the catalog of attacks', () => {
  const catalog = attackCatalog();

  it('has every attack once, with its source, norms, a cost and options in range', () => {
    expect(catalog.map(({ name }) => name)).to.deep.equal(attackNames);
    for (const { name, norms, options, forwards, source } of catalog) {
      expect(source, name).to.not.equal('');
      expect(norms, name).to.not.be.empty;
      expect(forwards, name).to.be.above(3);
      expect(
        options.map((option) => option.name),
        name,
      ).to.include.members(['eps', 'steps']);
      expect(new Set(options.map((option) => option.name)).size, name).to.equal(options.length);
    }
  });

  it('lists the norms and restarts that are taken, and no others', () => {
    const definition: ModelDefinition = { ...linearModel([3, 8, 8], 10), name: 'ten' };
    const takes = (options: Partial<AttackOptions>): boolean => {
      try {
        settle({ model: { definition, weights: new Map() }, eps: 0.1, ...options });
        return true;
      } catch (error) {
        expect((error as LinbpError).code).to.equal('bad-argument');
        return false;
      }
    };
    for (const { name, norms, options } of catalog) {
      const attack = name as AttackName;
      const taken = (['linf', 'l2', 'l1'] as const).filter((norm) => takes({ attack, norm }));
      expect([...norms].sort(), name).to.deep.equal(taken.sort());
      const listed = options.some((option) => option.name === 'restarts');
      const [norm] = norms as [AttackNorm];
      const restarts = [{}, { randomStart: true }].some((start) => takes({ attack, norm, restarts: 2, ...start }));
      expect(listed, name).to.equal(restarts);
    }
  });

  it('counts gradients per image as published, and keeps the best iterate only where an attack searches', () => {
    const of = new Map(catalog.map((row) => [row.name, row]));
    expect(of.get('fgsm')!.gradients).to.equal(1);
    expect(of.get('mifgsm')!.gradients).to.equal(10);
    expect(of.get('apgd-t')!.gradients).to.equal(900);
    expect(of.get('fab-t')!.gradients).to.equal(900);
    expect(of.get('square')!.gradients).to.equal(0);
    expect(of.get('square')!.forwards).to.equal(5001 + 3);
    for (const [name, { keep }] of of) {
      const searches = /^(pgd|apgd.*|square|fab.*|cw|deepfool|ddn|fmn|ead|spsa|nes|simba)$/.test(name);
      expect(keep, name).to.equal(searches ? 'best' : 'last');
    }
  });
});
