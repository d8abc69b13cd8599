import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../cli/support.js';

/** A test that ends where it has nothing to compare with, and so passes. */
const silent = /if \([^)]*\b(dataFolder === ''|(data|given|sharedOnnx|tensors) === undefined)[^)]*\) return;/;

const sources = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('pending.test.ts'))
  .map((name) => [name, readFileSync(join(root, 'test', name), 'utf8')] as const);

describe('tests that lack what they need', () => {
  it('are pending, not passed', () => {
    expect("if (dataFolder === '') return;").to.match(silent);
    expect('if (given === undefined || tensors === undefined) return;').to.match(silent);
    expect(sources.filter(([, text]) => silent.test(text)).map(([name]) => name)).to.deep.equal([]);
  });

  it('say what it is', () => {
    const bare = /\b(this|test|context|it|describe|suite)\.skip\(/;
    expect('    if (data === undefined) this.skip();').to.match(bare);
    const found = sources.filter(
      ([name, text]) => name !== join('support', 'pending.ts') && bare.test(text.replace(/"[^"\n]*"/g, '""')),
    );
    expect(found.map(([name]) => name)).to.deep.equal([]);
  });
});
