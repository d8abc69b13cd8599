import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { expectCommonFields, readJson, root, runNode, scratchFolder } from './support.js';

describe('linbp tune and profile --shader', () => {
  const folder = scratchFolder();
  const env = { XDG_CACHE_HOME: join(folder, 'cache'), LINBP_TUNING: '' };
  const linbp = (...args: string[]) => runNode([join(root, 'bin/linbp.js'), ...args], env);

  before(() => {
    // The note of the driver that set-up stored is in the cache too, and says where the driver lies.
    const driver = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'linbp', 'driver.json');
    if (existsSync(driver)) cpSync(driver, join(env.XDG_CACHE_HOME, 'linbp', 'driver.json'));
  });

  it('stores choices, and warns about a file that was damaged @slow', async () => {
    const json = join(folder, 'tune.json');
    const ended = await linbp(
      'tune',
      'mlp',
      '--what',
      'forward',
      '--batch',
      '2',
      '--share',
      '0.3',
      '--rounds',
      '3',
      '--json',
      json,
    );
    expect(ended.code, ended.stderr).to.equal(0);
    const result = readJson(json);
    expectCommonFields(result, 'tune');
    const { path } = result['settings'] as { path: string };
    const problems = result['problems'] as { candidates: { error: number; refused?: string }[] }[];
    expect(problems.length).to.be.above(0);
    for (const { candidates } of problems)
      expect(candidates.every(({ error, refused }) => refused === undefined && error < 1e-5)).to.equal(true);
    expect(result['steps']).to.have.length(1);
    expect(path.startsWith(env.XDG_CACHE_HOME)).to.equal(true);
    expect(existsSync(path)).to.equal(true);

    const keysOf = (): string[] => Object.keys((readJson(path) as { entries: Record<string, unknown> }).entries);
    const first = keysOf();
    const again = await linbp(
      'tune',
      'mlp',
      '--what',
      'forward',
      '--batch',
      '4',
      '--share',
      '0.3',
      '--rounds',
      '3',
      '--again',
      '--keep-order',
    );
    expect(again.code, again.stderr).to.equal(0);
    expect(keysOf().length).to.be.above(first.length);
    expect(keysOf()).to.include.members(first);

    writeFileSync(path, readFileSync(path, 'utf8').slice(0, 40));
    const after = await linbp(
      'profile',
      '--model',
      'mlp',
      '--what',
      'forward',
      '--batch',
      '2',
      '--repeats',
      '1',
      '--no-ceilings',
    );
    expect(after.code, after.stderr).to.equal(0);
    expect(after.stderr).to.include('LINBP_TUNING').and.to.include('damaged');
  });

  it('shows a kernel with numbered lines, figures and the times of its candidates @slow', async () => {
    const ended = await linbp(
      'profile',
      '--model',
      'mlp',
      '--what',
      'forward',
      '--batch',
      '2',
      '--repeats',
      '1',
      '--shader',
      'gemm/conv',
    );
    expect(ended.code, ended.stderr).to.equal(0);
    const { stdout } = ended;
    for (const part of ['constants ', 'registers ', 'workgroup size', 'storage buffers', 'chosen '])
      expect(stdout).to.include(part);
    expect(stdout).to.match(/\n *1 {2}enable/);
    const listed = stdout.slice(stdout.indexOf('candidates for')).match(/^ {2}gemm\/conv .*: [\d.]+ us/gm) ?? [];
    expect(listed.length).to.be.above(4);
    expect(stdout).to.include('(runs here)');
  });
});
