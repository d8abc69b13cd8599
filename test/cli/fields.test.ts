import { readFileSync } from 'node:fs';
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

  it('profile: every dispatch, what times and memory add up to, and whole steps in turns @slow', async () => {
    const args = [
      '--model',
      'mlp',
      '--what',
      'train',
      '--batch',
      '4',
      '--repeats',
      '2',
      '--no-ceilings',
      '--rule',
      'bp,linbp',
    ];
    const [ended, single, positions] = await linbpEach([
      ['profile', ...args, '--json', json('profile'), '--html', join(folder, 'profile.html')],
      ['profile', ...args, '--no-turns', '--json', json('alone')],
      ['positions', '--model', 'mlp', '--json', json('positions')],
    ]);
    for (const each of [ended!, single!, positions!]) expect(each.code, each.stderr).to.equal(0);
    const result = readJson(json('profile'));
    expectCommonFields(result, 'profile');
    expectNumbers(
      result,
      ['passMicroseconds', 'gapMicroseconds', 'wallMicroseconds', 'planBytes', 'savedForBackwardBytes'],
      'profile',
    );
    const dispatches = result['dispatches'] as Record<string, unknown>[];
    expect(dispatches.length).to.be.above(10);
    for (const dispatch of dispatches) {
      for (const name of ['kernel', 'layer', 'direction', 'rule']) expect(dispatch[name], name).to.be.a('string');
      expectNumbers(dispatch, ['microseconds', 'gflops', 'gbps'], 'dispatch');
    }
    const turns = result['turns'] as Record<string, unknown>[];
    expect(turns.map(({ label }) => label)).to.deep.equal(['bp', 'linbp', 'bp again (control)']);
    for (const turn of turns)
      expectNumbers(turn, ['microseconds', 'ratio', 'planBytes', 'savedForBackwardBytes'], 'turn');
    expect(ended!.stdout).to.contain('Whole steps in turns');
    expect(readJson(json('alone'))['turns']).to.deep.equal([]);
    expectCommonFields(readJson(json('positions')), 'positions');
  });

  it('profile: what is shown instead of times, and every file that was asked for @slow', async () => {
    const given = ['profile', '--model', 'mlp', '--what', 'train', '--batch', '2', '--repeats', '1', '--no-ceilings'];
    const [trace, html, dot] = ['shown.trace', 'shown.html', 'shown.dot'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const [plan, shader, all] = await linbpEach([
      [...given, '--print', 'plan', '--dot', dot, '--json', json('plan')],
      [...given, '--shader', 'loss/lossBackward', '--json', json('shader')],
      [...given, '--rule', 'bp', '--trace', trace, '--html', html, '--json', json('all')],
    ]);
    for (const each of [plan!, shader!, all!]) expect(each.code, each.stderr).to.equal(0);
    const { printed } = readJson(json('plan')) as unknown as { printed: Record<string, string> };
    expect(Object.keys(printed)).to.deep.equal(['plan']);
    expect(plan!.stdout).to.equal(`${printed['plan']}\n`);
    expect(plan!.stderr).to.include('looking at train under bp');
    expect(readFileSync(dot, 'utf8')).to.match(/^digraph/);
    const shown = readJson(json('shader'))['shader'] as {
      description: string;
      dispatches: Record<string, unknown>[];
      candidates: unknown[];
    };
    expect(shader!.stdout.startsWith(shown.description)).to.equal(true);
    expect(shown.dispatches).to.have.length(1);
    expectNumbers(shown.dispatches[0], ['microseconds', 'gbps'], 'shader');
    expect(shown.candidates).to.deep.equal([]);
    const slices = (JSON.parse(readFileSync(trace, 'utf8')) as { traceEvents: { ph: string }[] }).traceEvents.filter(
      ({ ph }) => ph === 'X',
    );
    expect(slices).to.have.length((readJson(json('all'))['dispatches'] as unknown[]).length);
    expect(readFileSync(html, 'utf8')).to.include('Memory plan');
  });

  it('bench: rows with median, least and most @slow', async function () {
    this.timeout(120_000);
    const args = [
      'bench',
      '--only',
      'dispatch',
      '--peers',
      'none',
      '--rounds',
      '2',
      '--turn',
      '20',
      '--json',
      json('bench'),
    ];
    const ended = await runNode([join(root, 'bin/linbp.js'), ...args]);
    expect(ended.code, ended.stderr).to.equal(0);
    const result = readJson(json('bench'));
    expectCommonFields(result, 'bench');
    const rows = result['rows'] as Record<string, unknown>[];
    expect(rows.length).to.be.above(1);
    for (const row of rows) {
      for (const name of ['name', 'subject', 'unit']) expect(row[name], name).to.be.a('string');
      if (row['median'] === null) {
        expect(row['note'], 'what could not be measured says why').to.be.a('string');
        continue;
      }
      expectNumbers(row, ['median', 'min', 'max', 'rounds'], String(row['name']));
      expect(row['median']).to.be.within(row['min'] as number, row['max'] as number);
      expect(row['ratio'] === null || typeof row['ratio'] === 'number').to.equal(true);
    }
  });
});
