import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../cli/support.js';
import { listItems } from './support.js';

interface Mutant {
  readonly kind?: string;
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly tests?: readonly string[];
}

const load = async (): Promise<readonly Mutant[]> =>
  ((await import(new URL('../../../scripts/mutants.mjs', import.meta.url).href)) as { mutants: Mutant[] }).mutants;

/** The list of kinds: number, and its faults with their tests. */
function listOfKinds(): Map<string, [fault: string, test: string][]> {
  const kinds = new Map<string, [string, string][]>();
  for (const item of listItems('docs/reliability.md')) {
    const kind = /^([12]\.\d+) /.exec(item)?.[1];
    if (kind !== undefined) kinds.set(kind, []);
    const [, fault, test] = /^(.+) \(`([^`]+)`\)$/.exec(item) ?? [];
    const last = [...kinds.values()].at(-1);
    if (fault !== undefined && last !== undefined) last.push([fault, test!]);
  }
  return kinds;
}

describe('docs/reliability.md', () => {
  it('names three places of every kind, with tests and faults that there are', async () => {
    const mutants = await load();
    const kinds = [
      ...Array.from({ length: 14 }, (_, i) => `1.${i + 1}`),
      ...Array.from({ length: 8 }, (_, i) => `2.${i + 1}`),
    ];
    const listed = listOfKinds();
    expect([...listed.keys()]).to.deep.equal(kinds);
    for (const [kind, faults] of listed) {
      expect(faults.length, kind).to.be.at.least(3);
      for (const [fault, test] of faults) {
        const found = mutants.filter(({ name }) => name === `${kind}: ${fault}`);
        expect(
          found.map(({ tests }) => tests),
          `${kind}: ${fault}`,
        ).to.deep.equal([[test]]);
        expect(existsSync(join(root, 'test', `${test}.test.ts`)), test).to.equal(true);
      }
    }
    const named = [...listed].flatMap(([kind, faults]) => faults.map(([fault]) => `${kind}: ${fault}`));
    const own = mutants.filter(({ kind }) => kind !== undefined).map(({ name }) => name);
    expect(named, 'each fault of a kind stands in the list').to.have.members(own);
  });

  it('every fault of the mutation check can be applied, once, to what its tests run', async () => {
    const names = new Set<string>();
    for (const { name, file, find, tests = [] } of await load()) {
      expect(names.has(name), `${name} is there twice`).to.equal(false);
      names.add(name);
      expect(readFileSync(join(root, file), 'utf8').split(find).length - 1, `${name}: ${file}`).to.equal(1);
      for (const test of tests) expect(existsSync(join(root, 'test', `${test}.test.ts`)), test).to.equal(true);
    }
  });
});
