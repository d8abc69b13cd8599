import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { readSweep } from '../../src/cli/sweep.js';
import { mergeSweep, planSweep } from '../../src/experiments/sweep.js';
import type { SweepCellResult, SweepRun } from '../../src/experiments/sweep.js';
import { linbpEach, expectError, readJson, scratchFolder } from './support.js';

const epoch = (trainLoss: number, testAccuracy: number, number = 1) => ({
  ...{ epoch: number, trainLoss, trainAccuracy: 0.5, testLoss: trainLoss, testAccuracy, seconds: 1 },
});

describe('train --sweep', () => {
  const folder = scratchFolder();

  it('plans every rule at every rate and seed, small rates first, each once', () => {
    const cells = planSweep({ rules: ['bp', 'linbp'], rates: [0.1, 0.01], seeds: 3, seed: 7 });
    expect(cells).to.have.length(12);
    expect(new Set(cells.map((cell) => JSON.stringify(cell))).size).to.equal(12);
    expect(cells[0]).to.deep.equal({ rule: 'bp', lr: 0.01, seed: 7 });
    expect(cells.at(-1)).to.deep.equal({ rule: 'linbp', lr: 0.1, seed: 9 });
    expect(() => planSweep({ rules: ['bp', 'bp'], rates: [1], seeds: 1, seed: 0 })).to.throw('--rule has bp twice');
    expect(readSweep('lr=0.01, 1/8')).to.deep.equal([0.01, 0.125]);
    expect(() => readSweep('lr=0.1,-1')).to.throw('above 0');
    expect(() => readSweep('batch=3')).to.throw('lr=0.01,0.05,0.1');
  });

  it('merges in any order, takes diverged cells as results and judges rates by all seeds', () => {
    const plan = { rules: ['bp', 'linbp'], rates: [0.1, 0.4], seeds: 2, seed: 0 };
    const results = planSweep(plan).map((cell): SweepCellResult => {
      const fails = cell.rule === 'linbp' && cell.lr === 0.4;
      const epochs = fails
        ? []
        : [epoch(cell.rule === 'bp' ? 0.5 : 0.25, cell.lr === 0.4 ? 0.9 : 0.75 + cell.seed / 8)];
      return { ...cell, epochs, steps: 1, diverged: fails, seconds: 1, ...(fails && { message: 'no' }) };
    });
    const { runs, rows, verdicts } = mergeSweep(plan, results, 10, (rule) => rule.toUpperCase());
    expect(runs.filter(({ outcome }) => outcome === 'not finite')).to.have.length(2);
    expect(rows.map(({ rule, lr, failed }) => [rule, lr, failed])).to.deep.equal([
      ['bp', 0.1, 0],
      ['linbp', 0.1, 0],
      ['bp', 0.4, 0],
      ['linbp', 0.4, 2],
    ]);
    expect(rows[0]!.testAccuracy!.mean).to.equal(0.8125);
    expect(rows[3]!.trainLoss).to.equal(null);
    expect(verdicts[0]).to.contain('BP is best at learning rate 0.4: test accuracy 90.0 %');
    expect(verdicts[1]).to.contain('LINBP is best at learning rate 0.1: test accuracy 81.3 %');
    expect(verdicts[2]).to.contain('LINBP has the lower training loss after every epoch (2 of 2 pairs');
    expect(verdicts[3]).to.contain('BP tolerates larger learning rates');
    const mixed = mergeSweep(plan, [...results].reverse(), 10, (rule) => rule.toUpperCase());
    expect(mixed.verdicts).to.deep.equal(verdicts);
    expect(mixed.rows).to.deep.equal(rows);
  });

  it('says of an interrupted sweep only what its runs show', () => {
    const plan = { rules: ['bp', 'linbp'], rates: [0.1, 0.4], seeds: 1, seed: 0 };
    const results = planSweep(plan).map((cell): SweepCellResult => {
      const loss = cell.rule === 'bp' ? 0.5 : 0.25;
      return { ...cell, epochs: [epoch(loss, 0.75)], steps: 1, diverged: false, seconds: 1 };
    });
    const after = (count: number): readonly string[] =>
      mergeSweep(plan, results.slice(0, count), 10, (rule) => rule.toUpperCase()).verdicts;
    expect(after(0)).to.deep.equal(['Interrupted: these are 0 of 4 runs.']);
    expect(after(1)).to.deep.equal([
      'Interrupted: these are 1 of 4 runs.',
      'BP is best at learning rate 0.1: test accuracy 75.0 %.',
    ]);
    // The run of bp at 0.4 has no partner yet.
    expect(after(3).at(-1)).to.equal('BP and LINBP train at every learning rate tried, up to 0.1.');
    expect(after(4)[0]).to.match(/^BP is best/);
    expect(after(4).at(-1)).to.contain('up to 0.4.');
  });

  it('runs cells from the weights of their seed, keeps diverged ones and writes one report @slow', async () => {
    const out = join(folder, 'sweep');
    const json = join(folder, 'sweep.json');
    const common = ['--model', 'mlp', '--limit', '128', '--test-limit', '64', '--epochs', '1', '--batch', '64'];
    const sgd = ['--optimizer', 'sgd', '--momentum', '0', '--schedule', 'constant'];
    const rules = ['--rule', 'bp', '--rule', 'linbp'];
    const single = join(folder, 'single.json');
    const [swept, alone, several, seeds] = await linbpEach([
      [
        'train',
        ...common,
        ...sgd,
        ...rules,
        '--sweep',
        'lr=0.05,1000000',
        '--seeds',
        '2',
        '--out',
        out,
        '--json',
        json,
      ],
      ['train', ...common, ...sgd, '--lr', '0.05', '--seed', '1', '--out', join(folder, 'one'), '--json', single],
      ['train', ...common, ...rules],
      ['train', ...common, '--seeds', '3'],
    ]);
    expect(swept!.code, swept!.stderr).to.equal(0);
    expect(alone!.code, alone!.stderr).to.equal(0);
    const { runs, training, verdicts, report } = readJson(json) as unknown as {
      readonly runs: readonly SweepRun[];
      readonly training: readonly SweepRun[];
      readonly verdicts: readonly string[];
      readonly report: string;
    };
    expect(runs).to.have.length(8);
    expect(training).to.deep.equal(runs);
    expect(runs.filter(({ diverged }) => diverged).every(({ lr }) => lr === 1e6)).to.equal(true);
    expect(runs.some(({ diverged, message }) => diverged && message !== undefined)).to.equal(true);
    const [same] = (readJson(single) as { epochs: SweepRun['epochs'] }).epochs;
    const own = runs.find(({ rule, lr, seed }) => rule === 'bp' && lr === 0.05 && seed === 1)!.epochs[0]!;
    expect(own.trainLoss).to.equal(same!.trainLoss);
    expect(own.testAccuracy).to.equal(same!.testAccuracy);
    const page = readFileSync(report, 'utf8');
    for (const sentence of verdicts) expect(swept!.stdout).to.contain(sentence);
    expect(page).to.contain('<li>').and.to.contain(verdicts[0]);
    expectError(several!, '--sweep lr=0.01,0.05,0.1');
    expectError(seeds!, '--seeds goes with --sweep');
  });

  it('calls figures of held-out training images those of a validation: terminal, verdicts, tables @slow', async () => {
    const out = join(folder, 'validated');
    const small = ['--model', 'mlp', '--limit', '64', '--epochs', '1', '--rule', 'bp', '--rule', 'linbp'];
    const [run] = await linbpEach([
      ['train', ...small, '--validation-split', '0.25', '--sweep', 'lr=0.01', '--out', out],
    ]);
    expect(run!.code, run!.stderr).to.equal(0);
    const page = readFileSync(join(out, 'report.html'), 'utf8');
    for (const text of [run!.stdout, run!.stderr, page])
      expect(text)
        .to.match(/validation accuracy/)
        .and.not.to.match(/test (loss|accuracy|figures)/i);
    const heads = [...page.matchAll(/<th[^>]*>([^<]*validation accuracy[^<]*)<\/th>/g)].map(([, head]) =>
      head!.replaceAll('\u00a0', ' '),
    );
    expect(heads).to.deep.equal([
      ...['BP', 'LinBP'].map((rule) => `${rule}: last training loss, validation accuracy`),
      'validation accuracy, %',
    ]);
    const { verdicts, rows } = readJson(join(out, 'report.json')) as { verdicts: string[]; rows: object[] };
    expect(verdicts[0]).to.match(/^BP is best at learning rate 0\.01: validation accuracy/);
    expect(verdicts.at(-1)).to.equal('Validation figures are of 25.00 % of the training images, which were held out.');
    expect(rows[0]).to.have.property('testAccuracy');
  });

  it('is refused before the first cell for what the last one would be refused for', async () => {
    expect(() => planSweep({ rules: ['bp'], rates: [0.1], seeds: 3, seed: 2 ** 32 - 2 })).to.throw(/4294967296/);
    const common = ['train', '--model', 'mlp', '--limit', '16', '--device', 'reference', '--out', join(folder, 'late')];
    const [rate, seeds] = await linbpEach([
      [...common, '--sweep', 'lr=0.1,1e39'],
      [...common, '--sweep', 'lr=0.1', '--seed', '4294967294', '--seeds', '3'],
    ]);
    expectError(rate!, 'lr must be', '1e+39');
    expectError(seeds!, '3 seeds');
    for (const { stderr } of [rate!, seeds!]) expect(stderr).not.to.match(/train loss/);
    expect(existsSync(join(folder, 'late'))).to.equal(false);
  });
});
