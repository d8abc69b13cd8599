import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { initialState } from '../../src/nn/model.js';
import type { StateDict } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { expectError, linbpEach, readJson, scratchFolder, writeBytes, writeFormulaWeights } from './support.js';
import type { Ended } from './support.js';

interface Victim {
  readonly model: string;
  readonly robustAccuracy?: number;
  readonly diverged?: true;
  readonly cause?: string;
}

/** Victims of each run: their names, and whether they diverge or have figures. */
const outcomes = (victims: unknown): readonly (readonly [string, 'diverged' | 'figures'])[] =>
  (victims as Victim[]).map(({ model, robustAccuracy, diverged, cause }) => {
    expect(diverged === true, model).to.equal(robustAccuracy === undefined);
    expect(cause !== undefined, model).to.equal(diverged === true);
    return [model, diverged === true ? 'diverged' : 'figures'] as const;
  });

describe('networks that are attacked and diverge', () => {
  const folder = scratchFolder();
  const at = (name: string): string => join(folder, name);
  let [source, overflowing, data]: string[] = [];

  before(async () => {
    source = await writeFormulaWeights(folder, 'lenet5');
    // Weights that are finite themselves, and a sum of them that float32 cannot hold.
    const state: StateDict = initialState(modelDefinition('mlp'), 1);
    for (const { data: each } of state.values()) (each as Float32Array).fill(3e38);
    overflowing = at('overflowing.safetensors');
    await writeSafetensors(overflowing, state);
    await writeSafetensors(at('mlp.safetensors'), initialState(modelDefinition('mlp'), 2));
    data = at('black.safetensors');
    await writeSafetensors(data, {
      images: { shape: [2, 1, 28, 28], data: new Uint8Array(2 * 784) },
      labels: { shape: [2], data: Int32Array.of(0, 1) },
    });
  });

  const attack = (name: string, victims: string, ...more: string[]): string[] => [
    ...['attack', '--model', 'lenet5', '--weights', source!, '--dataset', data!, '--victims', victims],
    ...['--steps', '2', '--images', '0', '--out', at(name), '--json', at(`${name}.json`), ...more],
  ];

  it('attack: the report names them, and those that do not diverge have their figures @slow', async () => {
    const sound = `mlp=${at('mlp.safetensors')}`;
    const [some, none] = await linbpEach([
      attack('some', `mlp=${overflowing!},${sound}`, '--csv', at('some.csv')),
      attack('none', `mlp=${overflowing!}`),
    ]);
    expect(some!.code, some!.stderr).to.equal(0);
    const expected = [
      ['mlp', 'diverged'],
      ['mlp', 'figures'],
    ];
    const sentence =
      /victim mlp has no figures: it diverges \(logit 0 of image 0 is Infinity: layer \S+ is the first .*\)\./;
    for (const file of [join(at('some'), 'report.json'), at('some.json')])
      expect(outcomes(readJson(file)['victims'])).to.deep.equal(expected);
    const page = readFileSync(join(at('some'), 'report.html'), 'utf8');
    for (const text of [some!.stdout, page]) expect(text).to.match(sentence);
    expect(page).to.match(/<td>mlp<\/td>\s*<td[^>]*>diverged<\/td>/);
    expect(some!.stdout)
      .to.contain('victim mlp: diverged')
      .and.to.match(/victim mlp: clean \d/);
    expect(readFileSync(at('some.csv'), 'utf8').trimEnd().split('\n')).to.have.length(3);

    // Where no victim has figures, the exit code says so; the attack's own figures are there all the same.
    expect(none!.code).to.equal(1);
    expect(none!.stderr).to.match(/error: no victim is left: victim mlp: logit 0 of image 0 is Infinity/);
    expect(none!.stdout).to.match(sentence).and.to.contain('robust accuracy');
    for (const file of [join(at('none'), 'report.json'), at('none.json')]) {
      expect(outcomes(readJson(file)['victims'])).to.deep.equal([['mlp', 'diverged']]);
      expect(readJson(file)['robustAccuracy']).to.be.a('number');
    }
    expect(readFileSync(join(at('none'), 'report.html'), 'utf8')).to.match(sentence);
  });

  it('attack: one that diverges on the images of one run keeps its figures of the others @slow', async () => {
    // Finite on black images, and on those of a radius that 8 bits round to nothing.
    const steep = writeBytes(
      folder,
      'steep.mjs',
      Buffer.from(
        `export default { name: 'steep', input: [1, 28, 28], classes: 10,
          build: (net, x) => net.linear('fc', net.flatten(x), 10) };`,
      ),
    );
    await writeSafetensors(at('steep.safetensors'), {
      'fc.weight': { shape: [10, 784], data: new Float32Array(7840).fill(3e38) },
      'fc.bias': { shape: [10], data: Float32Array.from({ length: 10 }, (_, k) => k) },
    });
    const [run] = await linbpEach([attack('radii', `${steep}=${at('steep.safetensors')}`, '--eps', '0.001,0.2')]);
    expect(run!.code, run!.stderr).to.equal(0);
    const { runs } = readJson(at('radii.json')) as { runs: { victims: unknown }[] };
    expect(runs.map(({ victims }) => outcomes(victims))).to.deep.equal([
      [['steep', 'figures']],
      [['steep', 'diverged']],
    ]);
    expect(run!.stdout).to.match(/victim steep, \S+ under \S+ at eps 0\.2 has no figures: it diverges \(logit 0 of/);
  });

  it('transfer: one that diverges is recorded, and the others are attacked @slow', async () => {
    const run = (name: string, victims: string): string[] => [
      ...['transfer', '--sources', `lenet5=${source!}`, '--victims', victims, '--attacks', 'ifgsm', '--dataset', data!],
      ...['--gradients', '2', '--out', at(name), '--json', at(`${name}.json`)],
    ];
    const [some, none] = await linbpEach([
      run('table', `mlp=${overflowing!},mlp=${at('mlp.safetensors')}`),
      run('empty', `mlp=${overflowing!}`),
    ]);
    expect(some!.code, some!.stderr).to.equal(0);
    const { cells, diverged } = readJson(at('table.json')) as { cells: { victim: string }[]; diverged: object[] };
    expect(cells.map(({ victim }) => victim)).to.deep.equal(['mlp#2']);
    expect(diverged).to.have.length(1);
    expect(diverged[0]).to.deep.include({ cell: 'victim mlp', diverged: true });
    expect(some!.stdout).to.contain('victim mlp has no figures: it diverges (logit 0 of image 0 is Infinity');
    expectError(none as Ended, 'no victim is left: victim mlp: logit 0 of image 0 is Infinity');
  });
});
