import { expect } from 'chai';
import { coloredDigits } from '../../src/data/coloredDigits.js';
import { normalization, position } from '../../src/experiments/ruleComparison.js';
import { transferCifar10 } from '../../src/experiments/transfer.js';
import type { ExperimentResult } from '../../src/experiments/types.js';
import { initialState } from '../../src/nn/model.js';
import type { StateDict } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { temporaryFolder } from '../io/support.js';
import { seenClasses, smallest, writeCifarFolder } from './support.js';

const networks = ['resnet8-mlperf-tiny', 'convnetjs-cnn'];

/** Makes a network call its class `a` what it called `b`, and the other way round. */
function swapClasses(state: StateDict, a: number, b: number): void {
  // The last layer's weights and biases come last.
  for (const { shape, data } of [...state.values()].slice(-2)) {
    const width = shape.length === 1 ? 1 : data.length / 10;
    const first = data.slice(a * width, (a + 1) * width);
    data.copyWithin(a * width, b * width, (b + 1) * width);
    data.set(first, b * width);
  }
}

const mostFrequent = (values: readonly number[]): number =>
  [...new Set(values)].reduce((best, value) => {
    const count = (of: number): number => values.filter((each) => each === of).length;
    return count(value) > count(best) ? value : best;
  });

/** A data folder of two networks' random weights, and images that both of them see alike. */
async function agreeing(folder: string): Promise<string> {
  const images = Uint8Array.from(coloredDigits('test', 24).images);
  const states = new Map(networks.map((name) => [name, initialState(modelDefinition(name), 3)]));
  const [first, second] = networks as [string, string];
  const wanted = await seenClasses(first, states.get(first)!, images);
  const usual = mostFrequent(await seenClasses(second, states.get(second)!, images));
  swapClasses(states.get(second)!, usual, mostFrequent(wanted));
  const found = await seenClasses(second, states.get(second)!, images);
  const same = [...wanted.entries()].filter(([n, label]) => label === found[n]);
  expect(same.length).to.be.at.least(8);
  return writeCifarFolder(folder, states, images, same);
}

interface Row {
  readonly name: string;
  readonly rule: string;
  readonly white: number;
  readonly transfer: number;
  readonly perImage: readonly number[];
}

const rowsOf = (result: ExperimentResult): Row[] => result.figures['results'] as Row[];

describe('transfer experiments', () => {
  const folder = temporaryFolder();

  it('compares starts and normalizations of LinBP on one source @slow', async () => {
    const context = await smallest({ dataFolder: await agreeing(folder()), networks });
    const positions = await position.run(context);
    expect(rowsOf(positions).map(({ rule }) => rule)).to.deep.equal([
      'bp',
      ...['relu', 'stage2.0.relu1', 'stage3.0.relu1'].map((at) => `linbp:from=${at}`),
    ]);
    const scaled = await normalization.run(context);
    expect(rowsOf(scaled)).to.have.length(6);
    for (const result of [positions, scaled]) {
      const [bp, ...others] = rowsOf(result) as [Row, ...Row[]];
      for (const { name, white, transfer, perImage } of [bp, ...others]) {
        expect(white, name).to.be.within(0, 1);
        expect(transfer, name).to.be.closeTo(perImage.reduce((sum, each) => sum + each, 0) / perImage.length, 1e-12);
      }
      // One sentence a variant besides that on the best one, which names the largest transfer.
      expect(result.statements).to.have.length(1 + others.length);
      const most = Math.max(...others.map(({ transfer }) => transfer));
      expect(result.statements[0]!.text).to.include(
        `${(100 * most).toFixed(1)} %; BP has ${(100 * bp.transfer).toFixed(1)} %`,
      );
    }
    // The same source, images and steps: BP's row does not depend on what it is compared with.
    expect(rowsOf(scaled)[0]!.perImage).to.deep.equal(rowsOf(positions)[0]!.perImage);
  });

  it('fills the matrix of sources and victims with networks of five seeds, and twelve attacks @slow', async () => {
    const result = await transferCifar10.run(await smallest({ dataFolder: await agreeing(folder()), networks }));
    const results = result.figures['results'] as { rule: string; source: string; fooled: Record<string, number[]> }[];
    const sources = [...networks, ...[5, 6, 7, 8, 9].map((seed) => `convnetjs-cnn seed ${seed}`)];
    expect(results.map(({ source }) => source)).to.deep.equal(sources.flatMap((source) => [source, source]));
    for (const { source, fooled } of results) expect(Object.keys(fooled), source).to.deep.equal(sources);
    const starts = result.figures['starts'] as {
      source: string;
      start: string;
      tried: { start: string; success: number }[];
    }[];
    expect(starts[0]!.tried.map(({ start }) => start)).to.deep.equal([
      'all',
      'stage2',
      'stage3',
      '3_0',
      '3_0,match=block',
    ]);
    expect(starts[1]!.tried.map(({ start }) => start)).to.deep.equal(['all', 'relu2', 'relu3']);
    for (const { source, start, tried } of starts) {
      const best = Math.max(...tried.map(({ success }) => success));
      expect(tried.find((each) => each.start === start)!.success, source).to.equal(best);
    }
    expect(result.statements).to.have.length(2 * networks.length + 1 + 3 * networks.length);
    const attacks = result.figures['attacks'] as { attack: string; gradients: number; wrong: object }[];
    expect(attacks).to.have.length(2 * 12 * networks.length);
    for (const { attack, gradients } of attacks) expect(gradients, attack).to.equal(20);
  });

  it('needs weights of every network that is named', async () => {
    const context = await smallest({ dataFolder: folder(), networks: [...networks, 'resnet20'] });
    const error: unknown = await transferCifar10.run(context).catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'missing-data');
  });
});
