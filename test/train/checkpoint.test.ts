import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import type { TensorToWrite } from '../../src/io/safetensors.js';
import { writeSafetensors, tensorAsFloat32 } from '../../src/io/safetensors.js';
import { Model, initialState } from '../../src/nn/model.js';
import { adam, sgd } from '../../src/train/optimizers.js';
import type { TrainerOptions } from '../../src/train/settings.js';
import { cosine } from '../../src/train/schedules.js';
import { Trainer } from '../../src/train/trainer.js';
import { sharedDevice } from '../support/device.js';
import { squares, tiny } from './support.js';
import { loadTensors } from '../support/tensors.js';
import { expectLinbpError } from '../io/support.js';

const dataset = squares(40);
const optimizer = adam({ lr: 0.01 });

describe('checkpoints', () => {
  let folder: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'linbp-checkpoint-'));
    path = join(folder, 'run.safetensors');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  async function trainer(
    options: Partial<TrainerOptions> = {},
    reference = false,
  ): Promise<{ trainer: Trainer; close: () => void }> {
    const model = reference
      ? { definition: tiny, weights: initialState(tiny, 3) }
      : Model.create(tiny, { device: await sharedDevice(), seed: 3 });
    const device = reference ? 'reference' : 'gpu';
    const made = await Trainer.create({ model, device, dataset, optimizer, batch: 16, rules: 'linbp', ...options });
    return {
      trainer: made,
      close: () => {
        made.destroy();
        if (model instanceof Model) model.destroy();
      },
    };
  }

  for (const reference of [false, true]) {
    for (const [name, steps, more] of [
      ['inside the first epoch', 2, 2],
      ['at the end of an epoch', 3, 4],
      ['inside the second epoch', 5, 3],
    ] as const) {
      it(`${reference ? 'reference' : 'device'}: ${more} steps ${name} give the bytes of ${steps + more}`, async () => {
        const whole = await trainer({}, reference);
        await whole.trainer.fit({ epochs: 4, steps: steps + more, checkpoint: join(folder, 'whole') });
        whole.close();
        const first = await trainer({}, reference);
        await first.trainer.fit({ epochs: 4, steps, checkpoint: path });
        first.close();
        const second = await trainer({}, reference);
        expect((await second.trainer.resume(path)).sameKernels).to.equal(true);
        expect(second.trainer.steps).to.equal(steps);
        await second.trainer.fit({ epochs: 4, steps: more, checkpoint: path });
        second.close();
        expect(readFileSync(path).equals(readFileSync(join(folder, 'whole.safetensors')))).to.equal(true);
        const [state, wholeState] = [
          path.replace(/safetensors$/, 'state.safetensors'),
          join(folder, 'whole.state.safetensors'),
        ].map((file) => loadTensors(file));
        for (const [key, tensor] of wholeState!.tensors)
          expect(Buffer.from(state!.tensors.get(key)!.data).equals(tensor.data), key).to.equal(true);
        const { seconds: _one, ...position } = JSON.parse(state!.metadata['position']!) as Record<string, number>;
        const { seconds: _two, ...wholePosition } = JSON.parse(wholeState!.metadata['position']!) as Record<
          string,
          number
        >;
        expect(position).to.deep.equal(wholePosition);
      });
    }
  }

  it('the weights file holds the plain state dict and loads as a model', async () => {
    const { trainer: made, close } = await trainer();
    await made.fit({ epochs: 1, checkpoint: path });
    const weights = await made.stateDict();
    close();
    expect(readdirSync(folder).sort()).to.deep.equal(['run.safetensors', 'run.state.safetensors']);
    expect([...loadTensors(path).tensors.keys()]).to.have.members([...weights.keys()]);
    using loaded = await Model.load(tiny, path, { device: await sharedDevice() });
    for (const [key, { data }] of await loaded.stateDict()) expect(data, key).to.deep.equal(weights.get(key)!.data);
    const state = loadTensors(join(folder, 'run.state.safetensors'));
    expect(state.tensors.get('optimizer.exp_avg.fc.0.weight')!.shape).to.deep.equal([16, 64]);
    expect((JSON.parse(state.metadata['kernels']!) as string[]).length).to.be.above(10);
  });

  it('an aborted run leaves a checkpoint that continues to the same bytes', async () => {
    const whole = await trainer();
    await whole.trainer.fit({ epochs: 3, checkpoint: join(folder, 'whole') });
    whole.close();
    const controller = new AbortController();
    const first = await trainer({ logEvery: 1 });
    const stopped = first.trainer.fit({
      epochs: 3,
      checkpoint: path,
      signal: controller.signal,
      onProgress: ({ step }) => (step === 4 ? controller.abort() : undefined),
    });
    await stopped.then(
      () => expect.fail('not aborted'),
      (error: LinbpError) => expect(error.code).to.equal('aborted'),
    );
    first.close();
    const second = await trainer();
    await second.trainer.resume(path);
    const { epochs } = await second.trainer.fit({ epochs: 3, checkpoint: path });
    expect(epochs.map(({ epoch }) => epoch)).to.deep.equal([2, 3]);
    expect(second.trainer.history).to.have.length(3);
    second.close();
    expect(readFileSync(path).equals(readFileSync(join(folder, 'whole.safetensors')))).to.equal(true);
  });

  it('goes on under a longer schedule of the same kind, and says so', async () => {
    const first = await trainer({ schedule: cosine(2) });
    await first.trainer.fit({ epochs: 2, checkpoint: path });
    first.close();
    const second = await trainer({ schedule: cosine(4) });
    expect(await second.trainer.resume(path)).to.deep.equal({ sameKernels: true, sameSchedule: false });
    const rates: number[] = [];
    await second.trainer.fit({ epochs: 3, checkpoint: path, onProgress: ({ lr }) => rates.push(lr) });
    second.close();
    expect(rates.length).to.be.above(0);
    for (const rate of rates) expect(rate).to.be.closeTo(optimizer.lr / 2, 1e-12);
    const other = await trainer();
    await expectLinbpError(() => other.trainer.resume(path), 'bad-file', /schedule is "cosine" there and "/);
    other.close();
  });

  it('what is asked for while a run is read back waits for it', async () => {
    const first = await trainer();
    await first.trainer.fit({ epochs: 1, checkpoint: path });
    const { steps } = first.trainer;
    first.close();
    const second = await trainer();
    const resumed = second.trainer.resume(path);
    const seen: number[] = [];
    const fitted = second.trainer.fit({ epochs: 2, onEpoch: ({ epoch }) => seen.push(epoch) });
    await expectLinbpError(() => second.trainer.resume(path), 'bad-argument', /at work/);
    await Promise.all([resumed, fitted]);
    expect(seen).to.deep.equal([2]);
    expect(second.trainer.steps).to.equal(2 * steps);
    const whole = await trainer();
    await whole.trainer.fit({ epochs: 2 });
    expect(await second.trainer.stateDict()).to.deep.equal(await whole.trainer.stateDict());
    second.close();
    whole.close();
  });

  it('a promise of onEpoch is waited for before the checkpoint is written', async () => {
    const { trainer: made, close } = await trainer();
    const there: boolean[] = [];
    await made.fit({
      epochs: 1,
      checkpoint: path,
      onEpoch: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        there.push(existsSync(path));
      },
    });
    close();
    expect(there).to.deep.equal([false]);
  });

  it('divergence leaves the last good checkpoint', async () => {
    const good = await trainer({ optimizer: sgd({ lr: 1e30 }), logEvery: 1 });
    await good.trainer.save(path);
    const before = readFileSync(path);
    await good.trainer.fit({ epochs: 3, checkpoint: path }).then(
      () => expect.fail('did not diverge'),
      (error: LinbpError) => expect(error.code).to.equal('diverged'),
    );
    good.close();
    expect(readFileSync(path).equals(before)).to.equal(true);
  });

  it('refuses files that are damaged or of another run, with one typed error', async () => {
    const { trainer: made, close } = await trainer();
    await made.fit({ epochs: 1, steps: 2, checkpoint: path });
    const file = join(folder, 'run.state.safetensors');
    const intact = readFileSync(file);
    const { metadata, tensors } = loadTensors(file);
    const refused = async (pattern: RegExp, code = 'bad-file', by: Trainer = made): Promise<void> => {
      try {
        await by.resume(path);
      } catch (error) {
        expect(error).to.be.instanceOf(LinbpError);
        expect((error as LinbpError).message).to.match(pattern);
        expect((error as LinbpError).code).to.equal(code);
        return;
      }
      expect.fail(`accepted in spite of ${pattern}`);
    };
    const rewrite = (changed: Record<string, string>, without?: string): Promise<void> =>
      writeSafetensors(file, new Map([...tensors].filter(([key]) => key !== without)), { ...metadata, ...changed });

    writeFileSync(file, intact.subarray(0, intact.length - 8));
    await refused(/run\.state\.safetensors/);
    writeFileSync(file, intact.subarray(0, 5));
    await refused(/too few/);
    await rewrite({}, 'optimizer.exp_avg.fc.2.bias');
    await refused(/missing optimizer\.exp_avg\.fc\.2\.bias/);
    await rewrite({ format: 'other' });
    await refused(/not a training checkpoint/);
    await rewrite({ position: '{"epoch":-1}' });
    await refused(/position/);
    await rewrite({ position: JSON.stringify({ ...(JSON.parse(metadata['position']!) as object), step: 77 }) });
    await refused(/does not occur/);
    await rewrite({ history: '[' });
    await refused(/history/);
    // Two steps of an epoch are no finished one; a history of other length, or with a hole, is of no run.
    await rewrite({ history: '[{"epoch":1,"trainLoss":1}]' });
    await refused(/history/);
    await rewrite({
      position: JSON.stringify({ ...(JSON.parse(metadata['position']!) as object), epoch: 1, samples: 0 }),
    });
    await refused(/history|does not occur/);
    for (const [key, value] of [
      ['model.fc.2.bias', NaN],
      ['optimizer.exp_avg.fc.2.bias', Infinity],
      ['optimizer.exp_avg_sq.fc.2.bias', -1],
    ] as const) {
      const { shape } = tensors.get(key)!;
      const data = tensorAsFloat32(tensors.get(key)!);
      data[1] = value;
      await writeSafetensors(file, new Map<string, TensorToWrite>([...tensors, [key, { shape, data }]]), metadata);
      await refused(new RegExp(`${key.replaceAll('.', '\\.')}: value 1 is ${value}`));
    }
    rmSync(file);
    await refused(/no such file/, 'missing-file');
    writeFileSync(file, intact);
    for (const [options, pattern] of [
      [{ batch: 8 }, /batch is "16" there and "8" here/],
      [{ seed: 9 }, /seed/],
      [{ rules: 'bp' }, /rules/],
      [{ optimizer: adam({ lr: 0.02 }) }, /lr=0\.01.*lr=0\.02/],
    ] as const) {
      const other = await trainer(options);
      await refused(pattern, 'bad-file', other.trainer);
      other.close();
    }
    close();
  });
});
