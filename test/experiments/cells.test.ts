import { expect } from 'chai';
import { coloredDigits } from '../../src/data/coloredDigits.js';
import { drawDigits } from '../../src/data/digits.js';
import { LinbpError } from '../../src/errors.js';
import { Cells } from '../../src/experiments/cells.js';
import { trainOnce } from '../../src/experiments/trainingRuns.js';
import { position } from '../../src/experiments/ruleComparison.js';
import { whiteboxCifar10 } from '../../src/experiments/whitebox.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { sgd } from '../../src/train/optimizers.js';
import { constant } from '../../src/train/schedules.js';
import { temporaryFolder } from '../io/support.js';
import { refusal } from '../truth/support.js';
import { seenClasses, smallest, writeCifarFolder } from './support.js';

const diverges = (): Promise<never> => Promise.reject(new LinbpError('diverged', 'logit 3 is NaN'));

describe('cells of experiments that diverge', () => {
  const folder = temporaryFolder();

  it('are recorded by name with their cause, and the others go on; other errors pass', async () => {
    const lines: string[] = [];
    const cells = new Cells({ progress: { line: (text) => lines.push(text) } });
    expect(await cells.run('one', () => Promise.resolve(7))).to.equal(7);
    const kept = await cells.finite([1, 2, 3], String, (n) => (n === 2 ? diverges() : Promise.resolve()));
    expect(kept).to.deep.equal([1, 3]);
    expect(cells.diverged).to.deep.equal([{ cell: '2', diverged: true, cause: 'logit 3 is NaN' }]);
    expect(lines).to.deep.equal(['2: diverged, logit 3 is NaN']);
    await refusal(() => cells.run('x', () => Promise.reject(new LinbpError('aborted', 'stop'))), 'aborted');
    cells.expectSome(1, 'cell');
    expect((await refusal(() => cells.expectSome(0, 'cell'), 'diverged')).message).to.include('logit 3 is NaN');
  });

  it('training: `diverged: true` and the epochs before', async () => {
    const data = { train: drawDigits({ split: 'train', count: 64 }), test: drawDigits({ split: 'test', count: 16 }) };
    const definition = modelDefinition('mlp');
    const plan = {
      ...{ definition, data, rule: 'bp', optimizer: sgd({ lr: 1e30 }), schedule: constant(), batch: 32, epochs: 3 },
      ...{ seed: 1, tested: false },
    };
    const run = await trainOnce(await smallest(), plan as never, 'test');
    expect(run.diverged).to.equal(true);
    expect(run.cause).to.include('training diverged');
  });

  it('white box: a network with NaN is recorded, the other one has its figures @slow', async () => {
    const [good, bad] = ['convnetjs-cnn', 'resnet20'] as const;
    const states = new Map([good, bad].map((name) => [name, initialState(modelDefinition(name), 3)]));
    states.get(bad)!.get('conv1.weight')!.data[5] = NaN;
    const images = Uint8Array.from(coloredDigits('test', 6).images);
    const labels = await seenClasses(good, states.get(good)!, images);
    const dataFolder = await writeCifarFolder(folder(), states, images, [...labels.entries()]);
    const result = await whiteboxCifar10.run(await smallest({ dataFolder, networks: [bad, good] }));
    expect(new Set((result.figures['results'] as { network: string }[]).map(({ network }) => network))).to.deep.equal(
      new Set([good]),
    );
    const [cell, ...others] = result.figures['diverged'] as { cell: string; diverged: boolean; cause: string }[];
    expect(others).to.deep.equal([]);
    expect(cell).to.deep.include({ cell: `${bad} fgsm bp`, diverged: true });
    expect(cell!.cause).to.include('conv1.weight[5] is NaN');
    // Of a transfer nothing is left when one of two networks goes.
    const error = await refusal(
      async () => position.run(await smallest({ dataFolder, networks: [bad, good] })),
      'diverged',
    );
    expect(error.message).to.include('no pair of networks is left');
  });
});
