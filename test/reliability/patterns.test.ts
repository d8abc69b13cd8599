import { expect } from 'chai';
import { assignment, readNumber } from '../../src/cli/options.js';
import { nearestNames } from '../../src/names.js';
import { positionTable } from '../../src/nn/definition.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { parseRules } from '../../src/rules/parse.js';
import { matchesGlob } from '../../src/rules/select.js';

describe('patterns from outside take linear time', () => {
  it('agree with a matcher that tries everything', () => {
    const all = (pattern: string, name: string): boolean =>
      pattern === ''
        ? name === ''
        : pattern[0] === '*'
          ? all(pattern.slice(1), name) || (name !== '' && all(pattern, name.slice(1)))
          : name !== '' && (pattern[0] === '?' || pattern[0] === name[0]) && all(pattern.slice(1), name.slice(1));
    const texts = (letters: string, length: number): string[] =>
      length === 0 ? [''] : texts(letters, length - 1).flatMap((text) => [text, ...[...letters].map((c) => text + c)]);
    for (const pattern of new Set(texts('ab*?', 4)))
      for (const name of new Set(texts('ab', 4)))
        expect(matchesGlob(pattern, name), `${pattern} ${name}`).to.equal(all(pattern, name));
  });

  it('options of rules, victims and numbers with many spaces and digits', () => {
    const started = performance.now();
    const wide = `${' '.repeat(50_000)}x`;
    expect(parseRules(`leaky:a=${wide.slice(0, -1)}0.5`)[0]!.parameters).to.deep.equal({ a: 0.5 });
    expect(() => parseRules(`leaky:a=1${wide}`)).to.throw(/must be/);
    expect(assignment(`mlp=w${wide}`)).to.deep.equal(['mlp', `w${wide}`]);
    expect(assignment(`=${wide}`)).to.deep.equal([undefined, undefined]);
    for (const text of [`${'1'.repeat(50_000)}x`, `1${wide}`]) expect(readNumber(text)).to.be.NaN;
    expect(readNumber(' 12.50e-1 ')).to.equal(1.25);
    expect(readNumber('.5')).to.equal(0.5);
    expect(readNumber('5.')).to.equal(5);
    expect(performance.now() - started).to.be.below(1000);
  });

  it('with many stars, on a deep network and in a suggestion', () => {
    const table = positionTable(modelDefinition('densenet121'));
    const started = performance.now();
    for (const pattern of ['*?*?*?*?*?*?*?Z', `${'*'.repeat(10)}Z`, '*a'.repeat(2000), '*?'.repeat(2000)])
      expect(() => resolveRules(parseRules(`linbp:only=${pattern}`), table)).to.throw(/fits no ReLU/);
    expect(matchesGlob(`${'*a'.repeat(200)}b`, 'a'.repeat(10_000))).to.equal(false);
    expect(nearestNames('x'.repeat(1e6), ['lenet5'])).to.deep.equal([]);
    expect(performance.now() - started).to.be.below(3000);
  });
});
