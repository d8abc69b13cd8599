import { expect } from 'chai';
import { Attack, autoAttack } from '../../src/attacks/index.js';
import { batchPixels, subset, selectSamples } from '../../src/data/dataset.js';
import { drawDigits } from '../../src/data/digits.js';
import { Graph } from '../../src/graph/graph.js';
import { positionTable } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import { predict } from '../../src/nn/predict.js';
import { lenet5 } from '../../src/nn/zoo/mnist.js';
import { profileProgram } from '../../src/profile/profile.js';
import { Program } from '../../src/program/program.js';
import { TuningTable } from '../../src/choices/table.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { Turns } from '../../src/runtime/turns.js';
import { adam } from '../../src/train/optimizers.js';
import { Trainer } from '../../src/train/trainer.js';
import { tuneProgram } from '../../src/tune/tuner.js';
import { modelWith, numbers } from '../attacks/support.js';
import { sharedDevice } from '../support/device.js';
import { refusal } from './support.js';

const digits = drawDigits({ split: 'test', count: 24 });
const part = (first: number, count: number) =>
  selectSamples(
    digits,
    Array.from({ length: count }, (_, i) => first + i),
  );

describe('one object, several calls at once', () => {
  let model: Model;
  before(async () => {
    model = await modelWith(lenet5);
  });
  after(() => model.destroy());

  for (const device of ['gpu', 'reference'] as const) {
    it(`Attack.run: each caller gets its own images (${device})`, async () => {
      const few = device === 'gpu' ? 8 : 2;
      using attack = await Attack.compile({ model, device, eps: 0.1, steps: 3, batch: few });
      const inputs = [part(0, few), part(8, few), part(16, few)];
      const alone = [];
      for (const images of inputs) alone.push(await attack.run({ images }));
      const together = await Promise.all(inputs.map((images) => attack.run({ images })));
      for (const [i, result] of together.entries()) {
        expect(Buffer.from(result.images8).equals(Buffer.from(alone[i]!.images8)), `images of call ${i}`).to.equal(
          true,
        );
        expect(result.samples).to.deep.equal(alone[i]!.samples);
        expect([result.dispatches, result.submits, result.readbacks]).to.deep.equal([
          alone[i]!.dispatches,
          result.submits,
          alone[i]!.readbacks,
        ]);
      }
    });
  }

  it('two attacks on one device count their own work only', async () => {
    using first = await Attack.compile({ model, eps: 0.1, steps: 3, batch: 8 });
    using second = await Attack.compile({ model, attack: 'fgsm', eps: 0.1, batch: 8 });
    const alone = [await first.run({ images: part(0, 8) }), await second.run({ images: part(8, 8) })];
    const together = await Promise.all([first.run({ images: part(0, 8) }), second.run({ images: part(8, 8) })]);
    for (const [i, result] of together.entries()) {
      expect(result.dispatches).to.equal(alone[i]!.dispatches);
      expect(result.readbacks).to.equal(alone[i]!.readbacks);
    }
  });

  it('Model.logits: each caller gets its own rows, of equal and of other sizes', async () => {
    const inputs = [numbers(1, 784 * 3), numbers(2, 784 * 3), numbers(3, 784 * 5), numbers(4, 784)];
    const alone = [];
    for (const images of inputs) alone.push([...(await model.logits(images, { batch: 2 }))]);
    const together = await Promise.all(inputs.map((images) => model.logits(images, { batch: 2 })));
    expect(together.map((logits) => [...logits])).to.deep.equal(alone);
  });

  it('Trainer: fit after fit, and evaluations in between, as if one after another', async () => {
    const device = await sharedDevice();
    const create = async () => {
      const own = Model.create(lenet5, { device, seed: 1 });
      const trainer = await Trainer.create({ model: own, dataset: digits, optimizer: adam(), batch: 8, logEvery: 1 });
      return { own, trainer };
    };
    const [one, other] = [await create(), await create()];
    await one.trainer.fit({ epochs: 1 });
    await one.trainer.fit({ epochs: 2 });
    const expected = await one.trainer.evaluate(digits);
    const first = other.trainer.fit({ epochs: 1 });
    const between = other.trainer.evaluate(subset(digits, 8));
    const second = other.trainer.fit({ epochs: 2 });
    const [, ran] = [await first, await second];
    expect(ran.steps).to.equal(3);
    expect(Number.isFinite((await between).loss)).to.equal(true);
    expect(await other.trainer.evaluate(digits)).to.deep.equal(expected);
    const evaluations = await Promise.all([other.trainer.evaluate(digits), other.trainer.evaluate(part(0, 5))]);
    expect(evaluations[0]).to.deep.equal(expected);
    expect(evaluations[1]).to.deep.equal(await one.trainer.evaluate(part(0, 5)));
    for (const { own, trainer } of [one, other]) {
      trainer.destroy();
      own.destroy();
    }
  });

  it('setStateDict during logits takes effect after them', async () => {
    const device = await sharedDevice();
    using own = Model.create(lenet5, { device, seed: 1 });
    const images = numbers(9, 784 * 6);
    const before = [...(await own.logits(images, { batch: 1 }))];
    using other = Model.create(lenet5, { device, seed: 2 });
    const weights = await other.stateDict();
    const running = own.logits(images, { batch: 1 });
    own.setStateDict(weights);
    const after = own.logits(images, { batch: 1 });
    expect([...(await running)]).to.deep.equal(before);
    expect([...(await after)]).to.deep.equal([...(await other.logits(images, { batch: 1 }))]);
  });

  it('an array that the caller fills anew belongs to the next call', async () => {
    const size = 784;
    const [a, b] = [batchPixels(part(0, 2), [0, 1]), batchPixels(part(8, 2), [0, 1])];
    const alone = [await model.logits(a), await model.logits(b)];
    const buffer = a.slice();
    const first = model.logits(buffer, { batch: 1 });
    buffer.set(b);
    const second = model.logits(buffer, { batch: 1 });
    buffer.fill(0);
    expect([await first, await second]).to.deep.equal(alone);
    using attack = await Attack.compile({ model, eps: 0.1, steps: 2, batch: 1 });
    const labels = [1, 2];
    const { images8 } = await attack.run({ images: a, labels });
    buffer.set(a);
    const run = attack.run({ images: buffer, labels });
    buffer.fill(0);
    expect((await run).images8.subarray(size)).to.deep.equal(images8.subarray(size));
  });

  it('predictions and attacks in several batches see one set of weights', async () => {
    using own = await modelWith(lenet5);
    const before = await own.stateDict();
    const other = new Map([...before].map(([name, { shape, data }]) => [name, { shape, data: data.map((x) => -x) }]));
    const images = batchPixels(part(0, 6), [0, 1, 2, 3, 4, 5]);
    const alone = await predict(own, images, { batch: 2 });
    const predicted = predict(own, images, { batch: 2 });
    own.setStateDict(other);
    expect([...(await predicted)]).to.deep.equal([...alone]);
    own.setStateDict(before);
    using attack = await Attack.compile({ model: own, eps: 0.1, steps: 2, batch: 2 });
    const { samples } = await attack.run({ images: part(0, 6) });
    const run = attack.run({ images: part(0, 6) });
    own.setStateDict(other);
    expect((await run).samples).to.deep.equal(samples);
    own.setStateDict(before);
    const stages = ['apgd-ce', 'square'] as const;
    const battery = autoAttack({
      ...{ model: own, images: part(0, 4), eps: 0.05, steps: 2, queries: 4, version: 'custom', stages },
      onStage: () => own.setStateDict(other),
    });
    expect((await refusal(() => battery, 'bad-argument')).message).to.match(/weights were changed/);
  });

  it('a battery takes a selection of rules', async () => {
    const { brokenBy } = await autoAttack({
      ...{ model, images: part(0, 2), eps: 0.05, steps: 2, version: 'custom', stages: ['apgd-ce'] },
      rules: resolveRules(parseRules('linbp:from=all'), positionTable(lenet5)),
    });
    expect(brokenBy).to.have.length(2);
  });

  it('Program: a write during a run is done after it; compute is one piece', async () => {
    const graph = new Graph();
    const x = graph.input('x', [1, 4]);
    const sum = graph.state('sum', [1, 4]);
    const fn = {
      name: 'sum',
      inputs: ['s', 'x'],
      scalars: [],
      results: ['s + x'],
      reference: (s: number, y: number) => [s + y],
    };
    graph.add('map', [sum, x], { fn: fn as never, scalars: [], targets: [0] });
    graph.output('sum', sum);
    using program = await Program.compile(graph, { device: await sharedDevice(), steps: { fields: {}, rows: 500 } });
    const ones = Float32Array.of(1, 1, 1, 1);
    program.write(x, ones);
    const ran = program.run([{ segment: 'main', repeat: 500 }], { chunkMilliseconds: 1 });
    const late = Float32Array.of(1000, 1000, 1000, 1000);
    program.write(x, late);
    late.fill(7);
    const read = program.read('sum');
    await ran;
    expect([...(await read)]).to.deep.equal([500, 500, 500, 500]);
    await program.run([{ segment: 'main' }]);
    expect([...(await program.read('sum'))]).to.deep.equal([1500, 1500, 1500, 1500]);
    program.write(sum, new Float32Array(4));
    const results = await Promise.all(
      [1, 2, 3].map((value) =>
        program.compute({
          write: [
            [x, new Float32Array(4).fill(value)],
            [sum, new Float32Array(4)],
          ],
          runs: [{ segment: 'main' }],
          read: ['sum'],
        }),
      ),
    );
    expect(results.map(([values]) => values![0])).to.deep.equal([1, 2, 3]);
  });

  it('profileProgram and tuneProgram wait for each other; a program does nothing while profiled', async () => {
    const device = await sharedDevice();
    const graph = new Graph();
    const [x, w] = [graph.input('x', [2, 3]), graph.input('w', [4, 3])];
    graph.output('y', graph.one('linear', [x, w], {}));
    const program = await Program.compile(graph, { device });
    program.write(x, new Float32Array(6).fill(2));
    program.write(w, new Float32Array(12).fill(1));
    const order: string[] = [];
    const named = async <T>(name: string, work: Promise<T>): Promise<T> => {
      const result = await work;
      order.push(name);
      return result;
    };
    const first = named('profile', profileProgram(program, { repeats: 3 }));
    expect(program.turns.busy).to.equal(true);
    const run = named('run', program.run([{ segment: 'main' }]));
    const second = named('again', profileProgram(program, { repeats: 1 }));
    const tuned = named('tune', tuneProgram(program, { table: new TuningTable(), only: new Set() }));
    const [one, , two] = await Promise.all([first, run, second, tuned]);
    expect(order).to.deep.equal(['profile', 'run', 'again', 'tune']);
    expect([one.repeats, two.repeats]).to.deep.equal([3, 1]);
    expect([...(await program.read('y'))]).to.deep.equal(new Array(8).fill(6));
    program.destroy();
  });

  it('turns are taken in order, also after a failure', async () => {
    const turns = new Turns();
    const order: number[] = [];
    const wait = (n: number) => async (): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 3 - n));
      order.push(n);
      if (n === 1) throw new Error('1');
      return n;
    };
    const all = [0, 1, 2].map((n) => turns.run(wait(n)));
    turns.runSync(() => order.push(3));
    expect(order).to.deep.equal([]);
    expect((await Promise.allSettled(all)).map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    await turns.run(() => Promise.resolve());
    expect(order).to.deep.equal([0, 1, 2, 3]);
    expect(turns.busy).to.equal(false);
  });
});
