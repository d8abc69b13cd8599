import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { expectError, linbpEach, readJson, scratchFolder, writeFormulaWeights } from './support.js';

describe('a list of attacks', () => {
  const folder = scratchFolder();
  const path = join(folder, 'dead.safetensors');
  before(async () => {
    // No ReLU passes anything: the true gradient is zero, the linear one a product that float32 cannot hold.
    const weights = [...initialState(modelDefinition('mlp'), 1)].map(([name, { shape, data }]) => {
      const last = name.startsWith('layer1.6') || name.startsWith('layer2');
      const value = (x: number): number => (shape.length > 1 ? 1e13 * Math.sign(x) : last ? x : -1e30);
      return [name, { shape, data: data.map(value) }] as const;
    });
    await writeSafetensors(path, new Map(weights));
  });

  it('goes on without those that diverge, and says so; alone, one is an error @slow', async () => {
    const out = join(folder, 'out');
    const json = join(folder, 'result.json');
    const attack = ['attack', '--model', 'mlp', '--weights', path, '--limit', '2', '--steps', '2', '--images', '0'];
    const rules = ['--rule', 'linbp:from=all', '--rule', 'bp'];
    const [several, alone] = await linbpEach([
      [...attack, '--attack', 'ifgsm', ...rules, '--eps', '0.1,0.2', '--out', out, '--json', json],
      [...attack, '--attack', 'ifgsm', '--rule', 'linbp:from=all', '--out', join(folder, 'alone')],
    ]);
    expect(several!.code, several!.stderr).to.equal(0);
    expect(several!.stdout).to.match(/ifgsm under LinBP.* at eps 0\.1 has no figures: it diverges/);
    const { runs } = readJson(json) as { runs: Record<string, unknown>[] };
    expect(runs.map(({ rule, eps, diverged }) => [String(rule).slice(0, 2), eps, diverged === true])).to.deep.equal([
      ['li', 0.1, true],
      ['li', 0.2, true],
      ['bp', 0.1, false],
      ['bp', 0.2, false],
    ]);
    for (const run of runs.slice(0, 2)) {
      expect(run).not.to.have.property('robustAccuracy');
      expect(run['message']).to.be.a('string');
    }
    expect(readFileSync(join(out, 'report.html'), 'utf8')).to.match(/has no figures: it diverges/);
    expectError(alone!, 'not finite');
  });

  it('and so does a transfer table', async () => {
    const json = join(folder, 'transfer.json');
    const other = await writeFormulaWeights(folder, 'lenet5');
    const networks = ['--sources', `mlp=${path}`, '--victims', `lenet5=${other}`, '--attacks', 'ifgsm'];
    const rules = [
      '--rule',
      'linbp:from=all',
      '--rule',
      'bp',
      '--gradients',
      '2',
      '--limit',
      '4',
      '--dataset',
      'digits',
    ];
    const [run] = await linbpEach([
      ['transfer', ...networks, ...rules, '--out', join(folder, 'table'), '--json', json],
    ]);
    expect(run!.code, run!.stderr).to.equal(0);
    expect(run!.stdout).to.match(/mlp, ifgsm, linbp\S* has no figures: it diverges/);
    const { cells, diverged } = readJson(json) as { cells: { rule: string }[]; diverged: { cell: string }[] };
    expect(cells.map(({ rule }) => rule)).to.deep.equal(['bp']);
    expect(diverged.map(({ cell }) => cell)).to.deep.equal(['mlp, ifgsm, linbp:from=all']);
  });
});
