import { join } from 'node:path';
import { expect } from 'chai';
import { expectCommonFields, linbpEach, readJson, root, runNode, scratchFolder } from './support.js';

/** Asserts that an object has these numbers, all finite. */
function expectNumbers(object: unknown, names: readonly string[], what: string): void {
  for (const name of names)
    expect((object as Record<string, unknown>)[name], `${what}: ${name}`)
      .to.be.a('number')
      .and.satisfy(Number.isFinite);
}

/** The fields of `train`, `eval` and `attack` are in verbs.test.ts. */
describe('fields of --json results', () => {
  const folder = scratchFolder();
  const json = (name: string): string => join(folder, `${name}.json`);

  it('profile: every dispatch, what times and memory add up to, and whole steps in turns', async () => {
    const args = ['--model', 'mlp', '--what', 'train', '--batch', '4', '--repeats', '2', '--no-ceilings', '--rule', 'bp,linbp'];
    const [ended, single, positions] = await linbpEach([
      ['profile', ...args, '--json', json('profile'), '--html', join(folder, 'profile.html')],
      ['profile', ...args, '--no-turns', '--json', json('alone')],
      ['positions', '--model', 'mlp', '--json', json('positions')],
    ]);
    for (const each of [ended!, single!, positions!]) expect(each.code, each.stderr).to.equal(0);
    const result = readJson(json('profile'));
    expectCommonFields(result, 'profile');
    expectNumbers(result, ['passMicroseconds', 'gapMicroseconds', 'wallMicroseconds', 'planBytes', 'savedForBackwardBytes'], 'profile');
    const dispatches = result['dispatches'] as Record<string, unknown>[];
    expect(dispatches.length).to.be.above(10);
    for (const dispatch of dispatches) {
      for (const name of ['kernel', 'layer', 'direction', 'rule']) expect(dispatch[name], name).to.be.a('string');
      expectNumbers(dispatch, ['microseconds', 'gflops', 'gbps'], 'dispatch');
    }
    const turns = result['turns'] as Record<string, unknown>[];
    expect(turns.map(({ label }) => label)).to.deep.equal(['bp', 'linbp', 'bp again (control)']);
    for (const turn of turns) expectNumbers(turn, ['microseconds', 'ratio', 'planBytes', 'savedForBackwardBytes'], 'turn');
    expect(ended!.stdout).to.contain('Whole steps in turns');
    expect(readJson(json('alone'))['turns']).to.deep.equal([]);
    expectCommonFields(readJson(json('positions')), 'positions');
  });

  it('bench: rows with median, least and most', async function () {
    this.timeout(120_000);
    const args = ['bench', '--only', 'dispatch', '--peers', 'none', '--rounds', '2', '--turn', '20', '--json', json('bench')];
    const ended = await runNode([join(root, 'bin/linbp.js'), ...args]);
    expect(ended.code, ended.stderr).to.equal(0);
    const result = readJson(json('bench'));
    expectCommonFields(result, 'bench');
    const rows = result['rows'] as Record<string, unknown>[];
    expect(rows.length).to.be.above(1);
    for (const row of rows) {
      for (const name of ['name', 'subject', 'unit']) expect(row[name], name).to.be.a('string');
      expectNumbers(row, ['median', 'min', 'max'], String(row['name']));
      expect(row['median']).to.be.within(row['min'] as number, row['max'] as number);
      expect(row['ratio'] === null || typeof row['ratio'] === 'number').to.equal(true);
    }
  });
});
