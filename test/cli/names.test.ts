import { expect } from 'chai';
import { attackNames, attackDefinition } from '../../src/attacks/builtin.js';
import { listAttacks } from '../../src/cli/attack/list.js';
import { presetNamed, presets } from '../../src/cli/attack/presets.js';
import { knownAttack } from '../../src/cli/composedAttack.js';
import { helpOf, overview } from '../../src/cli/terminal/help.js';
import { screenOf, textWidth, wrapLines } from '../../src/cli/terminal/screen.js';
import type { VerbContext } from '../../src/cli/verb.js';
import { loadVerb, verbNames } from '../../src/cli/verbs.js';
import { datasetNames, loadDataset } from '../../src/data/load.js';
import { experimentNamed, experiments } from '../../src/experiments/index.js';
import { didYouMean, nearestNames, unknownName } from '../../src/names.js';
import { allModelNames, modelDefinition } from '../../src/nn/zoo/index.js';
import { parseRules, ruleNames } from '../../src/rules/parse.js';

/** What a call says when it refuses. */
async function refusal(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}

/** Everything that has names, and the call that refuses other ones. */
const lists: Readonly<Record<string, readonly [names: readonly string[], refuse: (name: string) => unknown]>> = {
  model: [allModelNames, modelDefinition],
  attack: [attackNames, attackDefinition],
  'attack of the command': [attackNames, knownAttack],
  preset: [Object.keys(presets), presetNamed],
  rule: [ruleNames, parseRules],
  experiment: [experiments.map(({ name }) => name), experimentNamed],
  'data set': [datasetNames, (dataset) => loadDataset({ dataset, split: 'test' })],
};

const screen = screenOf({ isTTY: true, columns: 80 }, { NO_COLOR: '1' });

/** What a command that messages name shows. */
async function shown(command: string): Promise<string> {
  const verbs = await Promise.all(verbNames.map((name) => loadVerb(name)));
  if (command === 'linbp --help') return overview(verbs, screen).join('\n');
  const [, name, option] = command.split(' ');
  if (option === '--help') return helpOf(await loadVerb(name!), {}, screen).join('\n');
  const printed: string[] = [];
  expect(command).to.equal('linbp attack --list');
  listAttacks({ print: (line: string) => printed.push(line) } as unknown as VerbContext);
  return printed.join('\n');
}

describe('messages about names that nobody knows', () => {
  for (const [what, [names, refuse]] of Object.entries(lists))
    it(`${what}: a name with one wrong letter is understood, and all names are in reach`, async () => {
      for (const name of names) {
        const wrong = `${name.slice(0, -1)}${name.at(-1) === 'x' ? 'y' : 'x'}`;
        if (names.includes(wrong) || name.length < 3) continue;
        const message = await refusal(() => refuse(wrong));
        const near = /\(did you mean (.+)\?\)/.exec(message)?.[1]?.split(/, | or /) ?? [];
        expect(near, message).to.have.length.within(1, 3);
        for (const each of near) expect([...names, 'autoattack'], message).to.include(each);
        expect(nearestNames(wrong, names), wrong).to.include(name);
        for (const line of wrapLines(`error: ${message}`, 80).split('\n')) expect(textWidth(line)).to.be.at.most(80);
        expect(wrapLines(`error: ${message}`, 80).split(/\s+/)).to.deep.equal(`error: ${message}`.split(' '));
      }
      const message = await refusal(() => refuse('qqqqqqqq'));
      expect(message).not.to.include('did you mean');
      const command = /; "(.+)" lists all (\d+)$/.exec(message);
      const all = command === null ? message : await shown(command[1]!);
      for (const name of names) expect(all.split(/[\s,]+/), `${message}: ${name}`).to.include(name);
      if (command !== null) expect(Number(command[2]) - names.length).to.be.within(0, 1);
      expect(message.length, message).to.be.below(200);
    });

  it('a long list does not stand in the message, a short one does', () => {
    const many = Array.from({ length: 60 }, (_, n) => `network${n}`);
    const message = unknownName('model', 'network6O', { names: many, command: 'linbp positions --help' });
    expect(message).to.equal(
      'there is no model "network6O" (did you mean network6, network0 or network1?); "linbp positions --help" lists ' +
        'all 60',
    );
    expect(unknownName('rule', 'bq', { names: ['bp', 'linbp'] })).to.equal(
      'there is no rule "bq" (did you mean bp?); known are bp, linbp',
    );
  });

  it('the nearest name comes first, and a beginning counts as one wrong letter', () => {
    expect(nearestNames('resnet2O', ['resnet18', 'resnet20', 'resnet2'])[0]).to.equal('resnet20');
    expect(nearestNames('lenet', ['lenet5-clntrained', 'lenet5', 'mlp'])).to.deep.equal([
      'lenet5',
      'lenet5-clntrained',
    ]);
    expect(nearestNames('MLP', ['mlp'])).to.deep.equal(['mlp']);
    expect(didYouMean('epoch', ['epochs'], '--')).to.equal(' (did you mean --epochs?)');
    expect(didYouMean('completely', ['different'])).to.equal('');
  });

  it('every command that takes rules names them all in its help', async () => {
    const verbs = await Promise.all(verbNames.map((name) => loadVerb(name)));
    const taking = verbs.filter(({ options }) => 'rule' in options);
    expect(taking.map(({ name }) => name)).to.include.members(['attack', 'transfer', 'train', 'grad', 'profile']);
    for (const { name, options } of taking)
      expect((options as Record<string, { readonly help: string }>)['rule']!.help, name).to.contain(
        `(${ruleNames.join(', ')})`,
      );
  });
});
