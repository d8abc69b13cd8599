import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { linbp, scratchFolder } from '../cli/support.js';

interface Result {
  command: string;
  version: string;
  adapter: { software: boolean };
  settings: Record<string, unknown>;
  seconds: number;
  [field: string]: unknown;
}

describe('linbp simulate', () => {
  const folder = scratchFolder();
  const json = join(folder, 'result.json');
  const run = async (...args: string[]): Promise<{ result: Result; stdout: string }> => {
    const { code, stdout, stderr } = await linbp(['simulate', ...args, '--json', json]);
    expect(code, stderr).to.equal(0);
    const result = JSON.parse(readFileSync(json, 'utf8')) as Result;
    expect(result.command).to.equal('simulate');
    expect(result).to.include.keys('version', 'adapter', 'settings', 'seconds');
    return { result, stdout };
  };

  it('attack: all modes with bands, on the device and on the reference', async () => {
    const sizes = ['--repeats', '8', '--steps', '12', '--d1', '9', '--d2', '6', '--d3', '4', '--seed', '3'];
    const { result } = await run('attack', ...sizes);
    const { result: reference } = await run('attack', ...sizes, '--device', 'reference');
    type Modes = Record<
      string,
      { bp: number; linbp: number; gapHalfWidth: number; won: number; distance: { bp: { mean: number[] } } }
    >;
    const [modes, exact] = [result['modes'] as Modes, reference['modes'] as Modes];
    expect(Object.keys(modes)).to.deep.equal(['raw', 'l2', 'sign']);
    expect(modes['raw']!.distance.bp.mean).to.have.length(13);
    expect(modes['raw']!.gapHalfWidth).to.be.above(0);
    expect(modes['raw']!.bp).to.be.closeTo(exact['raw']!.bp, 1e-2);
    expect(modes['raw']!.linbp).to.be.closeTo(exact['raw']!.linbp, 1e-2);
    expect(result.settings).to.include({ repeats: 8, steps: 12, d1: 9, seed: 3 });
  });

  it('training: distances and losses', async () => {
    const { result, stdout } = await run('training', '--repeats', '5', '--steps', '50');
    expect(result['linbp'])
      .to.be.a('number')
      .below(result['bp'] as number);
    expect(result['steps']).to.have.length(51);
    expect(stdout).to.match(/LinBP is lower/);
  });

  it('theorems: verdicts and a map that shows the violation at eta = 3', async () => {
    const { result, stdout } = await run(
      'theorems',
      '--theorem',
      '2',
      '--draws',
      '60',
      '--steps',
      '30',
      '--eta',
      '0.5',
      '--values',
      '0.5,3',
    );
    const theorem = result['theorem2'] as { verdict: string; map: { verdicts: string[] } };
    expect(theorem.verdict).to.equal('every draw');
    expect(theorem.map.verdicts).to.deep.equal(['every draw', 'fails']);
    expect(stdout).to.match(/FAILS/);
  });

  it('montecarlo: sampled against closed form', async () => {
    const { result } = await run('montecarlo', '--draws', '20000');
    const problems = result['problems'] as { layers: string; rules: { bp: { relativeError: number } } }[];
    expect(problems.map(({ layers }) => layers)).to.deep.equal(['one', 'two']);
    // 20,000 draws have a standard error of about 2 % here; 20 % says only that it is the right quantity.
    for (const { rules } of problems) expect(rules.bp.relativeError).to.be.below(0.2);
  });

  it('refuses options of another subject and unknown subjects @slow', async () => {
    for (const [args, message] of [
      [['training', '--eps', '0.1'], /--eps has no meaning/],
      [['atack'], /attack/],
      [['attack', '--rate', '0.1'], /--rate needs one --mode/],
      [['theorems', '--theorem', '2', '--eps', '1'], /no clip/],
    ] as const) {
      const { code, stderr } = await linbp(['simulate', ...args]);
      expect(code).to.equal(1);
      expect(stderr).to.match(message);
    }
  });
});
