import { expect } from 'chai';
import { attack, attackCatalog, attackNames } from '../../src/attacks/index.js';
import type { AttackName, AttackNorm, AttackOptions } from '../../src/attacks/index.js';
import { settle } from '../../src/attacks/options.js';
import type { LinbpError } from '../../src/errors.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { bentModel, eightBitImages, linearModel, smallWeights } from './support.js';

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
        expect((error as LinbpError).code).to.be.oneOf(['bad-argument', 'unknown-option']);
        return false;
      }
    };
    for (const { name, norms, options } of catalog) {
      const named = name as AttackName;
      const taken = (['linf', 'l2', 'l1'] as const).filter((norm) => takes({ attack: named, norm }));
      expect([...norms].sort(), name).to.deep.equal(taken.sort());
      const listed = options.some((option) => option.name === 'restarts');
      const [norm] = norms as [AttackNorm];
      const restarts = [{}, { randomStart: true }].some((start) =>
        takes({ attack: named, norm, restarts: 2, ...start }),
      );
      expect(listed, name).to.equal(restarts);
    }
  });

  it('lists the options that are taken, and no others; those are refused by the same words', () => {
    const given: Partial<AttackOptions> = { alpha: 0.01, loss: 'margin', decay: 0.5, eot: 2 };
    const model = { definition: linearModel([3, 8, 8], 10), weights: new Map() };
    for (const { name, options, keep } of catalog) {
      const other = { ...given, keep: keep === 'best' ? 'last' : 'best' } as const;
      for (const [option, value] of Object.entries(other)) {
        let refused: LinbpError | undefined;
        try {
          settle({ model, eps: 0.1, attack: name as AttackName, [option]: value });
        } catch (error) {
          refused = error as LinbpError;
        }
        const listed = options.some((each) => each.name === option);
        expect(refused === undefined, `${name} ${option}`).to.equal(listed);
        if (refused === undefined) continue;
        expect([refused.code, refused.field], refused.message).to.deep.equal(['unknown-option', option]);
        expect(refused.message).to.contain(`${name} has no option "${option}"; it has eps, steps`);
      }
      // what an attack does anyway may be stated
      const stated = { keep, restarts: 1, eot: 1 };
      expect(() => settle({ model, eps: 0.1, attack: name as AttackName, ...stated }), name).not.to.throw();
    }
  });

  it('a listed option changes what the attack makes', async () => {
    const bent = bentModel(6, 5);
    const model = { definition: bent, weights: smallWeights(bent, 70) };
    const images = eightBitImages(8, 36);
    const shared = { model, device: 'reference', images, steps: 2 } as const;
    const clean = await attack({ ...shared, labels: [0], eps: 0, attack: 'ifgsm' });
    const labels = clean.samples.map(({ cleanClass }) => cleanClass);
    const made = async (name: AttackName, options: Partial<AttackOptions> = {}): Promise<string> => {
      const ball = { norm: name === 'nes' ? 'linf' : 'l2', eps: name === 'ddn' ? 3 : 0.1 } as const;
      return (await attack({ ...shared, ...ball, labels, attack: name, ...options })).images.join();
    };
    for (const [name, options] of [
      ['ddn', { loss: 'margin' }],
      ['pgd', { loss: 'margin' }],
      ['ifgsm', { alpha: 0.013 }],
      ['nes', { alpha: 0.013 }],
      ['mifgsm', { decay: 0.1 }],
      ['ni', { decay: 0.1 }],
    ] as const) {
      const differs = (await made(name, options)) !== (await made(name));
      expect(differs, `${name} ${JSON.stringify(options)}`).to.equal(true);
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
