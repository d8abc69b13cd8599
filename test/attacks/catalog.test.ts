import { expect } from 'chai';
import { attackCatalog, attackNames } from '../../src/attacks/index.js';
import type { AttackNorm } from '../../src/attacks/index.js';
import { settle } from '../../src/attacks/options.js';
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

  it('names the norms that an attack takes, and no other', () => {
    const model = { definition: linearModel([1, 4, 4], 10), weights: new Map() };
    const all: readonly AttackNorm[] = ['linf', 'l2', 'l1'];
    for (const { name, norms } of catalog) {
      const taken = all.filter((norm) => {
        try {
          return settle({ model, attack: name as 'pgd', norm, eps: 0.1 }).norm === norm;
        } catch {
          return false;
        }
      });
      expect(taken, name).to.have.members([...norms]);
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
