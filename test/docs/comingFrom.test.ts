import { expect } from 'chai';
import { attackNames } from '../../src/attacks/builtin.js';
import { knownAttack, namesElsewhere } from '../../src/cli/composedAttack.js';
import { kebab } from '../../src/cli/options.js';
import { loadVerb, verbNames } from '../../src/cli/verbs.js';
import * as api from '../../src/public/root.js';
import { listItems } from './support.js';

describe('what users of other libraries find', () => {
  const rows = listItems('docs/coming-from.md').map((item) => /^(.+) \([^()]+\): (.+)$/.exec(item) ?? []);

  it('every option, verb and attack that the list names exists', async () => {
    expect(rows.length).to.be.above(20);
    const verbs = await Promise.all(verbNames.map((name) => loadVerb(name)));
    const options = new Set([...verbs.flatMap((verb) => Object.keys(verb.options).map(kebab)), 'json']);
    for (const [, expected, here] of rows) {
      for (const [, option] of here!.matchAll(/--([a-z][a-z0-9-]*)/g))
        expect(options.has(option!), `${expected}: --${option}`).to.equal(true);
      for (const [, verb] of here!.matchAll(/`linbp ([a-z]+)/g)) expect(verbNames, expected).to.include(verb);
      const attacks = /`--attack ([\w-]+)`((?:, `[\w-]+`(?: \(\w+\))?)*)/.exec(here!);
      const named =
        attacks === null ? [] : [attacks[1]!, ...[...attacks[2]!.matchAll(/`([\w-]+)`/g)].map(([, a]) => a!)];
      for (const name of named) expect(['autoattack', ...attackNames], expected).to.include(name);
    }
  });

  it('every class and function that the list names is exported', () => {
    for (const [, expected, here] of rows)
      for (const [, name] of here!.matchAll(/`([A-Z]\w+)(?:\.\w+\(|`)/g))
        expect(api, `${expected}: ${name}`).to.have.property(name!);
  });

  it('attacks that other libraries call otherwise are named in the error', () => {
    for (const [name, here] of Object.entries(namesElsewhere)) {
      expect(() => knownAttack(name.toUpperCase())).to.throw(`(it is called ${here} here)`);
      expect(knownAttack(here)).to.equal(here);
    }
    expect(() => knownAttack('pgdd')).to.throw('(did you mean pgd?)');
  });
});
