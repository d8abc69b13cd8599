import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { matrixSentences } from '../../src/cli/transferReport.js';
import type { Matrix } from '../../src/cli/transferReport.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { initialState } from '../../src/nn/model.js';
import { bilinearRows } from '../../src/nn/resized.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { eightBitImages, numbers } from '../attacks/support.js';
import { expectError, linbpEach, readJson, scratchFolder, seenLabels } from './support.js';

type Fields = Parameters<typeof matrixSentences>[1];

interface Cell {
  readonly source: string;
  readonly attack: string;
  readonly rule: string;
  readonly victim: string;
  readonly gradients: number;
  readonly seeds: number;
  readonly success: number | null;
  readonly low: number;
  readonly high: number;
}

describe('linbp transfer', () => {
  const folder = scratchFolder();
  const at = (name: string): string => join(folder, name);
  const count = 10;

  it('resizing is the identity at equal sizes, keeps constants, and interpolates between half-integer places', () => {
    for (const [from, to] of [
      [5, 5],
      [4, 9],
      [28, 14],
      [7, 3],
    ] as const) {
      const { first, weight } = bilinearRows(from, to);
      for (let j = 0; j < to; j++) {
        const own = weight.slice(first[j], first[j + 1]);
        expect(own.reduce((sum, each) => sum + each, 0)).to.be.closeTo(1, 1e-12);
        if (from === to) expect(own).to.deep.equal([1]);
      }
    }
    const { index, weight } = bilinearRows(2, 4);
    expect(index).to.deep.equal([0, 0, 1, 0, 1, 1]);
    expect(weight).to.deep.equal([1, 0.75, 0.25, 0.25, 0.75, 1]);
  });

  it('the matrix at equal budgets: white box as linbp attack, resized victim, swept start, errors @slow', async () => {
    const definition = modelDefinition('mlp');
    const state = initialState(definition, 0);
    const images = eightBitImages(5, count * 784);
    const labels = await seenLabels(definition, state, images);
    await writeSafetensors(at('images.safetensors'), {
      images: { shape: [count, 1, 28, 28], data: Uint8Array.from(images, (pixel) => Math.round(255 * pixel)) },
      labels: { shape: [count], data: labels },
    });
    await writeSafetensors(at('mlp.safetensors'), state);
    writeFileSync(
      at('small.mjs'),
      `export default { name: 'small', input: [1, 14, 14], classes: 10,
        build: (net, x) => net.linear('fc', net.flatten(x), 10) };`,
    );
    await writeSafetensors(at('small.safetensors'), {
      'fc.weight': { shape: [10, 196], data: numbers(9, 1960, -1, 1) },
      // Certain enough of the first image's class to be right there.
      'fc.bias': { shape: [10], data: Float32Array.from({ length: 10 }, (_, k) => (k === labels[0] ? 20 : 0)) },
    });
    const data = ['--dataset', at('images.safetensors')];
    const victims = `mlp=${at('mlp.safetensors')},${at('small.mjs')}=${at('small.safetensors')}`;
    const lists = [
      '--attacks',
      'ifgsm,mifgsm:gradient=vmi,samples=2',
      '--rule',
      'bp',
      '--rule',
      'linbp:from=auto,leaky:a=0.5,from=auto',
    ];
    const [matrix, attack] = await linbpEach([
      [
        ...['transfer', ...data, '--sources', `mlp=${at('mlp.safetensors')}`, '--victims', victims, ...lists],
        ...['--gradients', '6', '--seeds', '2', '--eps', '0.02', '--out', at('out'), '--json', at('matrix.json')],
      ],
      [
        ...[
          'attack',
          ...data,
          '--model',
          'mlp',
          '--weights',
          at('mlp.safetensors'),
          '--attack',
          'ifgsm',
          '--steps',
          '6',
        ],
        ...['--alpha', String(1 / 255), '--eps', '0.02', '--out', at('attack'), '--json', at('attack.json')],
      ],
    ]);
    for (const each of [matrix!, attack!]) expect(each.code, each.stderr).to.equal(0);
    const result = readJson(at('matrix.json'));
    const cells = result['cells'] as Cell[];
    expect(result).to.include({ heldOut: 3, count: 7 });
    expect(cells).to.have.length(2 * 3 * 2);
    for (const { gradients, success, low, high, attack: name, seeds } of cells) {
      expect(gradients).to.equal(6);
      expect(seeds).to.equal(name === 'ifgsm' ? 1 : 2);
      if (success !== null) expect(success).to.be.within(low, high);
    }
    const attacked = readJson(at('attack.json'))['images'] as { index: number }[];
    const samples = readJson(join(at('attack'), 'report.json'))['samples'] as { savedSuccess: boolean }[];
    const fooled = samples.slice(3).filter(({ savedSuccess }) => savedSuccess).length;
    expect(attacked).to.have.length(count);
    const white = cells.find(
      ({ attack: name, rule, victim }) => name === 'ifgsm' && rule === 'bp' && victim === 'mlp',
    )!;
    expect(white.success).to.be.closeTo(fooled / 7, 1e-9);
    const sweeps = result['starts'] as { rule: string; start: string; tried: { start: string; success: number }[] }[];
    expect(sweeps.map(({ rule }) => rule)).to.deep.equal(['linbp:from=auto', 'leaky:a=0.5,from=auto']);
    for (const { rule, start: best, tried } of sweeps) {
      const most = Math.max(...tried.map(({ success }) => success));
      expect(tried.find(({ start }) => start === best)!.success).to.equal(most);
      expect(cells.some((cell) => cell.rule === rule.replace('auto', best))).to.equal(true);
      expect(matrix!.stdout).to.contain(`start of ${rule} on mlp`);
    }
    expect(result['resized']).to.deep.equal([{ model: 'small', from: [28, 28], to: [14, 14] }]);
    const errors = result['cleanErrors'] as { model: string; error: number }[];
    expect(errors.map(({ model }) => model)).to.deep.equal(['mlp', 'small']);
    expect(errors[0]!.error).to.equal(0);
    expect(matrix!.stdout).to.contain('small sees images resized from 28 x 28 to 14 x 14');
    const [sentence] =
      /(?:Images made on mlp by .* wrong, (?:the most here|and no other.*)|No image made on mlp .* transfers)\./.exec(
        matrix!.stdout,
      )!;
    const page = readFileSync(join(at('out'), 'report.html'), 'utf8');
    expect(page.indexOf(sentence)).to.be.within(page.indexOf('<h2>What was found'), page.indexOf('<h2>Matrix'));
    expect(
      readFileSync(join(at('out'), 'matrix.csv'), 'utf8')
        .trimEnd()
        .split('\n'),
    ).to.have.length(13);
  });

  it('says that nothing transfers where nothing does, and otherwise what transfers most', () => {
    const row = (rule: string, wrong: readonly number[]) => ({
      ...{ source: 'a', attack: 'pgd', rule, steps: 5, alpha: 0.01, gradients: 5, random: false },
      wrong: new Map([
        ['a', [[1, 1, 1, 1]]],
        ['b', [[...wrong]]],
      ]),
    });
    const clean = new Map([
      ['a', [1, 1, 1, 1]],
      ['b', [1, 1, 1, 1]],
    ]);
    const said = (...rows: ReturnType<typeof row>[]): string =>
      matrixSentences({ rows, clean, diverged: [] } as unknown as Matrix, { comparisons: [] } as unknown as Fields)[0]!;
    const [none, half, all] = [
      [0, 0, 0, 0],
      [1, 1, 0, 0],
      [1, 1, 1, 1],
    ] as const;
    expect(said(row('bp', none), row('linbp', none))).to.equal(
      'No image made on a by any of the 2 rows turns a right answer of the other network wrong: nothing transfers.',
    );
    expect(said(row('bp', none))).to.match(/^No image made on a by pgd under bp turns .*: nothing transfers\.$/);
    expect(said(row('bp', none), row('linbp', half))).to.match(/under linbp .* 50\.0 % .*, the most here\.$/);
    expect(said(row('bp', all), row('linbp', all))).to.match(/ 100\.0 % .*, and no other row does more\.$/);
  });

  it('refuses what cannot be a matrix, with one error before any work', async () => {
    const twice = ['--sources', 'mlp=w.safetensors', '--out', at('never')];
    const bad = await linbpEach([
      ['transfer'],
      ['transfer', '--sources', 'mlp'],
      ['transfer', ...twice, '--attacks', 'pgd:steps=3'],
      ['transfer', ...twice, '--attacks', 'autoattack'],
      ['transfer', ...twice, '--rule', 'linbp:from=auto,match=blok'],
      ['transfer', ...twice, '--victims', 'resnet18_imagenet=w.safetensors'],
      ['transfer', ...twice],
    ]);
    expectError(bad[0]!, 'needs --sources');
    expectError(bad[1]!, '--sources must be MODEL=WEIGHTS');
    expectError(bad[2]!, 'steps follow from --gradients');
    expectError(bad[3]!, 'autoattack is no attack for transfer');
    expectError(bad[4]!, 'match');
    expectError(bad[5]!, '1000 classes', 'mlp has 10');
    expectError(bad[6]!, 'no such file');
    expect(existsSync(at('never'))).to.equal(false);
  });
});
