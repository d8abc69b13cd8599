import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { expect } from 'chai';
// Its help lists the experiments that there are when it is loaded.
import '../../src/cli/reproduce.js';
import { runCommandLine } from '../../src/cli/runner.js';
import { LinbpError } from '../../src/errors.js';
import { experiments } from '../../src/experiments/index.js';
import type { Experiment } from '../../src/experiments/types.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { exportOnnx } from '../../src/onnx/index.js';
import { expectError, linbpEach, readJson, scratchFolder, writeFormulaWeights } from './support.js';

describe('options that cannot be meant as they are given', () => {
  const folder = scratchFolder();

  it('a list that names something twice is refused, whatever the option', async () => {
    const weights = await writeFormulaWeights(folder, 'mlp');
    const victim = `mlp=${weights}`;
    const attack = ['attack', '--model', 'mlp', '--device', 'reference', '--limit', '1'];
    const cases: readonly (readonly [args: readonly string[], message: string])[] = [
      [['reproduce', 'transfer-cifar10', '--networks', 'resnet20,resnet32, resnet20'], '--networks names resnet20'],
      [[...attack, '--attack', 'pgd,fgsm,pgd'], '--attack names pgd'],
      [[...attack, '--attack', 'pgd:steps=3,alpha=0.1,pgd:steps=3,alpha=0.1'], '--attack names pgd:steps=3,alpha=0.1'],
      [[...attack, '--attack', 'mifgsm', '--transform', 'di,si,di'], '--transform names di'],
      [[...attack, '--eps', '2/255,0.1,0.1'], '--eps names 0.1'],
      [[...attack, '--rule', 'bp', '--rule', 'linbp', '--rule', 'bp'], '--rule names bp'],
      [['transfer', '--sources', victim, '--rule', 'linbp,bp,linbp'], '--rule names linbp'],
      [[...attack, '--victims', `${victim},${victim}`], `--victims names ${victim}`],
      [['transfer', '--sources', `${victim},${victim}`], `--sources names ${victim}`],
      [['transfer', '--sources', victim, '--victims', `${victim},${victim}`], `--victims names ${victim}`],
      [['transfer', '--sources', victim, '--attacks', 'fgsm,fgsm'], '--attacks names fgsm'],
      [['train', '--augment', 'crop,flip,crop'], '--augment names crop'],
      [['train', '--sweep', 'lr=0.1,1e-1'], '--sweep names 0.1'],
      [['train', '--sweep', 'lr=0.1', '--rule', 'linbp', '--rule', 'linbp'], '--rule names linbp'],
      [['tune', 'mlp', '--rule', 'bp,bp'], '--rule names bp'],
      [['tune', 'mlp', '--among', 'a.json,a.json'], '--among names a.json'],
      [['profile', '--rule', 'bp,linbp,bp'], '--rule names bp'],
      [['bench', '--only', 'dispatch,dispatch'], '--only names dispatch'],
      [['bench', '--only', 'networks', '--models', 'mlp,mlp'], '--models names mlp'],
      [['bench', '--only', 'networks', '--batches', '8,08'], '--batches names 8'],
      [['simulate', 'theorems', '--map', 'eps', '--values', '1,2,1'], '--values names 1'],
    ];
    const ended = await linbpEach(cases.map(([args]) => args));
    ended.forEach((each, at) => expectError(each, `${cases[at]![1]} twice`));
  });

  it('--adapter and --device software with --queue, whose workers have devices of their own', async () => {
    const queue = ['--queue', 'redis://127.0.0.1:1', '--store', join(folder, 'store'), '--limit', '2'];
    const evaluate = ['eval', '--model', 'mlp', ...queue];
    const sweep = ['train', '--model', 'mlp', '--sweep', 'lr=0.1', ...queue, '--out', join(folder, 'sweep')];
    const ended = await linbpEach([
      [...evaluate, '--adapter', '0'],
      [...evaluate, '--device', 'software'],
      [...sweep, '--adapter', 'llvmpipe'],
      [...sweep, '--device', 'software'],
    ]);
    const words = 'chooses a device here; with --queue give it to "linbp worker"';
    ended.forEach((each, at) => expectError(each, `${at % 2 === 0 ? '--adapter' : '--device software'} ${words}`));
  });

  it('info --size where the file has another size', async () => {
    const definition = modelDefinition('mlp');
    const file = join(folder, 'mlp.onnx');
    writeFileSync(file, exportOnnx(definition, { weights: initialState(definition, 1) }));
    const [other, same] = await linbpEach([
      ['info', file, '--size', '32'],
      ['info', file, '--size', '28'],
    ]);
    expectError(other!, '--size is for files that leave height and width open', 'has 28 x 28');
    expect(same!.code, same!.stderr).to.equal(0);
  });
});

describe('reproduce --all', () => {
  const folder = scratchFolder();

  it('writes --json of what was done when it is interrupted', async () => {
    const stop = new AbortController();
    const found = { settings: [], curves: [], tables: [], statements: [], figures: { answer: 42 } };
    const experiment = (name: string, run: Experiment['run']): Experiment => ({ name, summary: 'does nothing', run });
    const two = [
      experiment('first', () => Promise.resolve(found)),
      experiment('second', async ({ signal }) => {
        stop.abort();
        if (!signal.aborted) return found;
        throw new LinbpError('aborted', 'the second was interrupted');
      }),
    ];
    const list = experiments as Experiment[];
    const all = list.splice(0, list.length, ...two);
    const json = join(folder, 'result.json');
    try {
      const args = ['reproduce', '--all', '--out', join(folder, 'out'), '--json', json];
      expect(await runCommandLine(args, stop.signal)).to.equal(130);
    } finally {
      list.splice(0, list.length, ...all);
    }
    const result = readJson(json);
    expect(result).to.include({ command: 'reproduce', interrupted: true });
    expect(result['experiments']).to.have.length(1);
    expect((result['experiments'] as object[])[0]).to.include({ name: 'first', answer: 42 });
  });
});
