import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../cli/support.js';
import { listItems } from '../docs/support.js';

interface LockedPackage {
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly license?: string;
}

describe('THIRD_PARTY_NOTICES.md', () => {
  it('lists every package that comes with linbp, with the words of its license', () => {
    const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, LockedPackage>;
    };
    const rows = listItems('THIRD_PARTY_NOTICES.md');
    const shipped = Object.entries(packages).filter(([path, entry]) => path !== '' && !entry.dev && !entry.devOptional);
    expect(shipped.length).to.be.above(20);
    for (const [path, { license = '' }] of shipped) {
      const name = path.replace(/^.*node_modules\//, '');
      const names = [name, name.replace(/^@img\/sharp-(libvips-)?.*/, '@img/sharp-$1*')].map((each) => `\`${each}\``);
      const row = rows.find((line) => names.some((each) => line.includes(each)));
      expect(row, `${name} (${license})`).not.to.equal(undefined);
      for (const word of license.split(/ (?:AND|OR) |[()]/).filter(Boolean)) expect(row, name).to.contain(word);
    }
  });
});
