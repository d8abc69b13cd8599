import { expect } from 'chai';
import { budgetOf } from '../../src/cli/demo/budget.js';
import { runLeaderboard } from '../../src/cli/demo/leaderboard.js';
import { attackVerdicts } from '../../src/cli/demo/verdicts.js';
import { coloredDigits } from '../../src/data/coloredDigits.js';
import { LinbpError } from '../../src/errors.js';
import { mnistRecipe, runRecipe } from '../../src/experiments/adversarialTraining.js';
import type { AdversarialRun } from '../../src/experiments/adversarialTraining.js';
import { Cells } from '../../src/experiments/cells.js';
import type { DivergedCell } from '../../src/experiments/cells.js';
import { chooseStart, named } from '../../src/experiments/crafting.js';
import { reportTwelve, runTwelve } from '../../src/experiments/twelveAttacks.js';
import { yardstick } from '../../src/experiments/yardstick.js';
import { initialState, Model } from '../../src/nn/model.js';
import type { StateDict } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { temporaryFolder } from '../io/support.js';
import { refusal } from '../truth/support.js';
import { seenClasses, smallest, writeCifarFolder } from './support.js';

/*
 * Networks whose logits and true gradients are finite, and whose linear backward is not: a part far below zero, which a
 * ReLU cuts off, behind weights whose product float32 does not hold.
 */

/** A residual block with such a branch. */
function deadBranch(state: StateDict, block: string): StateDict {
  const of = (name: string): Float32Array => state.get(`${block}.${name}`)!.data as Float32Array;
  of('bn1.weight').fill(1e25);
  of('bn1.bias').fill(-1e30);
  of('conv2.weight').fill(1e20);
  return state;
}

/** A plain network whose second layer has such a channel. */
function deadChannel(state: StateDict): StateDict {
  const [second, third] = [state.get('conv2.weight')!, state.get('conv3.weight')!];
  const size = second.data.length / second.shape[0]!;
  second.data.fill(1e20, 0, size);
  state.get('conv2.bias')!.data[0] = -1e30;
  const [outs, ins, ...taps] = third.shape as [number, number, number, number];
  const area = taps[0] * taps[1];
  for (let k = 0; k < outs; k++) third.data.fill(1e25, k * ins * area, k * ins * area + area);
  return state;
}

const stateOf = (name: string): StateDict => initialState(modelDefinition(name), 3);
const count = 3;
const images = Uint8Array.from(coloredDigits('test', count).images);

describe('cells that diverge beside others that do not', () => {
  const folder = temporaryFolder();

  it('transfer: the start of LinBP whose gradient overflows is recorded, and another one is chosen @slow', async () => {
    const context = await smallest();
    const [source, victim] = ['convnetjs-cnn', 'resnet8-mlperf-tiny'].map((name) =>
      Model.create(modelDefinition(name), { device: context.device }),
    ) as [Model, Model];
    source.setStateDict(deadChannel(stateOf('convnetjs-cnn')));
    const [victims, cells] = [named([source, victim]), new Cells(context)];
    const heldOut = coloredDigits('test', count);
    const found = await chooseStart(context, victims[0]!, victims, ['all', 'relu2', 'relu3'], heldOut, 2, cells);
    expect(found.start).to.equal('relu3');
    expect(found.tried.map(({ start }) => start)).to.deep.equal(['relu3']);
    const names = ['all', 'relu2'].map((start) => `convnetjs-cnn, LinBP from ${start}`);
    expect(cells.diverged.map((each) => [each.cell, each.diverged])).to.deep.equal(names.map((each) => [each, true]));
    const none = () => chooseStart(context, victims[0]!, victims, ['all'], heldOut, 2, new Cells(context));
    await refusal(none, 'diverged');
    for (const model of [source, victim]) model.destroy();
  });

  it('transfer: of twelve attacks those that diverge are recorded, another source keeps all @slow', async () => {
    const context = await smallest();
    const models = ['convnetjs-cnn', 'resnet8-mlperf-tiny'].map((name) =>
      Model.create(modelDefinition(name), { device: context.device, seed: 3 }),
    );
    models[0]!.setStateDict(deadChannel(stateOf('convnetjs-cnn')));
    const [victims, cells] = [named(models), new Cells(context)];
    const starts = new Map([
      ['convnetjs-cnn', 'all'],
      ['resnet8-mlperf-tiny', 'stage3'],
    ]);
    const labels = Uint8Array.from(await seenClasses('convnetjs-cnn', await models[0]!.stateDict(), images));
    const found = await runTwelve(
      context,
      victims,
      victims,
      starts,
      { ...coloredDigits('test', count), labels },
      cells,
    );
    expect(cells.diverged).to.have.length(12);
    for (const { cell, diverged } of cells.diverged) {
      expect(cell).to.match(/^convnetjs-cnn /);
      expect(diverged).to.equal(true);
    }
    expect(found.pairs.map(({ bp }) => bp.source)).to.deep.equal(Array(12).fill('resnet8-mlperf-tiny'));
    expect(reportTwelve(found, 1).table.rows.flat().join()).not.to.include('NaN');
    const nobody = { ...coloredDigits('test', count), labels: labels.map((label) => (label + 1) % 10) };
    const own = victims.slice(1);
    await refusal(() => runTwelve(context, own, victims, starts, nobody, new Cells(context)), 'bad-range');
    for (const model of models) model.destroy();
  });

  it('yardstick: rules that diverge are recorded, the others have their figures @slow', async () => {
    const states = new Map<string, StateDict>([
      ['resnet20', deadBranch(stateOf('resnet20'), 'layer1.0')],
      ['resnet56', stateOf('resnet56')],
    ]);
    const labels = await seenClasses('resnet20', states.get('resnet20')!, images);
    const dataFolder = await writeCifarFolder(folder(), states, images, [...labels.entries()]);
    const result = await yardstick.run(await smallest({ dataFolder, images: 2 }));
    const [rows, diverged] = [
      result.figures['rows'] as { name: string }[],
      result.figures['diverged'] as DivergedCell[],
    ];
    const known = ['LinBP from layer1', 'LinBP block-matched from layer1'];
    expect(diverged.map(({ cell }) => cell)).to.deep.equal(known.map((name) => `10 steps, 2 images, ${name}`));
    expect(diverged.every((cell) => cell.diverged)).to.equal(true);
    expect(rows.map(({ name }) => name)).to.deep.equal([
      ...['LinBP from layer2', 'LinBP from layer3'],
      ...['LinBP block-matched from layer2', 'LinBP block-matched from layer3', 'BPA from layer2'],
    ]);
    // The causes alone may say what was not finite.
    const told = JSON.stringify(result, (key, value: unknown) => (key === 'cause' ? undefined : value));
    expect(told).not.to.match(/NaN|null/);
  });

  it('adversarial training: a combination that diverges leaves out its seed and nothing else', async () => {
    const context = await smallest({ dataset: 'digits', seeds: 3 });
    const trained: string[] = [];
    const train = async (
      ...[, , , seed, [attackRule, weightRule]]: Parameters<NonNullable<Parameters<typeof runRecipe>[2]>>
    ) => {
      trained.push(`${attackRule} ${weightRule} ${seed}`);
      if (seed === 6 && weightRule === 'linbp') throw new LinbpError('diverged', 'the loss is NaN at step 7');
      const figures = { losses: [2, 1], testAccuracy: [0.5, 0.6], robust: [1, 0], robustApgd: [0, 0] };
      return { attackRule, weightRule, seed, ...figures } satisfies AdversarialRun;
    };
    const result = await runRecipe(context, mnistRecipe, train);
    expect(trained).to.have.length(12);
    const runs = result.figures['runs'] as AdversarialRun[];
    expect(runs.map(({ seed }) => seed)).to.deep.equal([5, 5, 5, 5, 7, 7, 7, 7]);
    expect(result.figures['diverged']).to.deep.equal(
      ['BP', 'LinBP'].map((rule) => ({
        cell: `attack ${rule}, weights LinBP, seed 6`,
        diverged: true,
        cause: 'the loss is NaN at step 7',
      })),
    );
  });

  it('adversarial training: where every run diverges, the error names the cells @slow', async () => {
    const context = await smallest({ dataset: 'digits' });
    const recipe = { ...mnistRecipe, network: 'mlp', lr: 1e30 };
    const error = await refusal(() => runRecipe(context, recipe), 'diverged');
    expect(error.message).to.match(/no seed is left: attack BP, weights BP, seed 5: training diverged/);
  });

  it('demo: rules and networks that diverge are recorded, and the verdicts speak of the rest @slow', async () => {
    const states = new Map(
      ['resnet20', 'resnet56', 'resnet32', 'resnet8-mlperf-tiny'].map((name) => [name, stateOf(name)]),
    );
    deadBranch(states.get('resnet20')!, 'layer3.1');
    states.get('resnet32')!.get('conv1.weight')!.data[5] = NaN;
    const labels = await seenClasses('resnet20', states.get('resnet20')!, images);
    const dataFolder = await writeCifarFolder(folder(), states, images, [...labels.entries()]);
    const context = await smallest({ dataFolder });
    const data = { train: coloredDigits('train', 1), test: coloredDigits('test', 1) };
    const board = await runLeaderboard(context, data, budgetOf(60), { networks: 0.5, attacks: 0.9 });
    expect(board.diverged.map(({ cell, diverged }) => [cell, diverged])).to.deep.equal(
      ['network resnet32', 'linbp:from=3_1,match=block', 'half:from=layer3'].map((cell) => [cell, true]),
    );
    expect(board.rows.map(({ rule }) => rule)).to.have.members(['bp', 'softplus:beta=5,from=layer3', 'bpa']);
    expect(board.rows[0]!.victims.map(({ model }) => model)).to.deep.equal(['resnet56', 'resnet8-mlperf-tiny']);
    expect(attackVerdicts(board).join()).not.to.match(/LinBP|NaN|undefined/);
    expect(attackVerdicts({ ...board, rows: board.rows.slice(0, 1) })).to.have.length(1);
  });
});
