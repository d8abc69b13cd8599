import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { attack } from '../../src/attacks/index.js';
import { decodeRun } from '../../src/cli/jobs/attackSession.js';
import { cellResults } from '../../src/cli/jobs/trainJob.js';
import { ComputeProcess } from '../../src/jobs/computeProcess.js';
import { openEvaluateSession } from '../../src/cli/jobs/evaluateSession.js';
import { openTrainSession } from '../../src/cli/jobs/trainSession.js';
import { putNetwork } from '../../src/cli/jobs/network.js';
import { drawDigits } from '../../src/data/digits.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/io/safetensors.js';
import type { TensorToWrite } from '../../src/io/safetensors.js';
import type { PartResult } from '../../src/jobs/collect.js';
import { taskOf } from '../../src/jobs/description.js';
import { putImages } from '../../src/jobs/images.js';
import { JobRunner } from '../../src/jobs/runner.js';
import type { Session } from '../../src/jobs/runner.js';
import { putTask } from '../../src/jobs/store.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { refusal } from '../truth/support.js';
import { memoryStore, noAdapter, scratchFolder, someJob } from './support.js';

const bytesOf = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)));
const definition = modelDefinition('mlp');
const weights = initialState(definition, 3);

describe('results in a store that others may write to', () => {
  it('of attacks are taken as they are, or refused by one error where anything is missing or not finite', async () => {
    const images = drawDigits({ split: 'test', count: 2 });
    const result = await attack({ model: { definition, weights }, device: 'reference', images, eps: 0.1, steps: 2 });
    const { images: pixels, images8, losses, ...rest } = result;
    const settings = { attack: 'pgd', eps: 0.1 };
    const encode = (record: unknown, changes: Record<string, TensorToWrite> = {}): Uint8Array => {
      const text = record instanceof Uint8Array ? record : bytesOf(record);
      const tensors: Record<string, TensorToWrite> = {
        images: { shape: [pixels.length], data: pixels },
        losses: { shape: [losses.length], data: losses },
        images8: { shape: [images8.length], data: images8 },
        record: { shape: [text.length], data: text },
        ...changes,
      };
      return Buffer.concat(encodeSafetensors(tensors));
    };
    const whole = { rest, settings, minimal: false };
    const read = decodeRun(encode(whole));
    expect(read.result).to.deep.equal(result);
    const sample = rest.samples[0]!;
    const withRest = (changes: object) => ({ ...whole, rest: { ...rest, ...changes } });
    const spoiled = pixels.slice();
    spoiled[7] = NaN;
    const faults: Record<string, Uint8Array> = {
      'no JSON': encode(new Uint8Array([123, 1])),
      null: encode(null),
      'no rest': encode({ settings, minimal: false }),
      'no settings': encode({ rest, minimal: false }),
      'no samples': encode(withRest({ samples: [] })),
      'a loss that JSON had no number for': encode(withRest({ samples: [{ ...sample, loss: NaN }, sample] })),
      'a flag that is a number': encode(withRest({ samples: [{ ...sample, robustCorrect: 1 }, sample] })),
      'an accuracy that is not finite': encode(withRest({ robustAccuracy: NaN })),
      'a curve without a loss': encode(withRest({ curve: [{ step: 0, restart: 0, robustAccuracy: 1 }] })),
      'another count': encode(withRest({ count: 3 })),
      'stages without figures': encode(withRest({ stages: [{ name: 'square' }], brokenBy: [null, null] })),
      'a pixel': encode(whole, { images: { shape: [spoiled.length], data: spoiled } }),
      'fewer pixels': encode(whole, { images: { shape: [784], data: pixels.slice(0, 784) } }),
      'pixels of another type': encode(whole, { images: { shape: [images8.length], data: images8 } }),
      'no losses': encode(whole, { losses: { shape: [1], data: new Float32Array(1) } }),
    };
    for (const [name, bytes] of Object.entries(faults))
      await refusal(() => decodeRun(bytes), 'bad-file').catch((cause: unknown) => {
        throw new Error(name, { cause });
      });
  });

  it('of cells: a loss that was not finite does not become 0', async () => {
    const epoch = { epoch: 1, trainLoss: 2, trainAccuracy: 0.1, seconds: 1 };
    const run = { rule: 'bp', lr: 0.1, seed: 0, epochs: [epoch], losses: [2, 1] };
    const part = (bytes: Uint8Array): PartResult => ({ index: 0, from: 0, to: 1, record: {} as never, bytes });
    expect(cellResults([part(bytesOf([run]))])).to.deep.equal([run]);
    const faults: unknown[] = [
      [{ ...run, losses: [2, Infinity] }],
      [{ ...run, epochs: [{ ...epoch, trainLoss: NaN }] }],
      [{ ...run, epochs: null }],
      [{ ...run, lr: 'x' }],
      [null],
      [],
      { 0: run },
    ];
    for (const fault of faults) await refusal(() => cellResults([part(bytesOf(fault))]), 'bad-file');
    await refusal(() => cellResults([part(Buffer.from('[{'))]), 'bad-file');
  });
});

describe('jobs that nobody made like that', () => {
  it('options that no sweep has are refused and not passed over', async () => {
    const store = memoryStore();
    const images = await putImages(store, drawDigits({ count: 4 }));
    const network = await putNetwork(store, { model: 'mlp' }, weights);
    const settings = (values: object) => ({
      ...{ network, start: { 1: network.weights }, train: images, device: 'reference', values },
      cells: [{ rule: 'bp', lr: 0.1, seed: 1 }],
    });
    const machine = { device: () => Promise.reject(new Error('no device is needed')) };
    const open = (values: object) => openTrainSession(taskOf('train', 1, settings(values)), store, machine);
    (await open({ epochs: 1, batch: 2 })).close();
    await refusal(() => open({ epochs: 1, bacth: 2 }), 'bad-argument');
  });

  it('an evaluation takes any batch, as "linbp eval" does', async () => {
    const store = memoryStore();
    const images = await putImages(store, drawDigits({ count: 4 }));
    const network = await putNetwork(store, { model: 'mlp' }, weights);
    const machine = { device: () => Promise.reject(new Error('no device is needed')) };
    const settings = { network, images, device: 'reference', values: { batch: 70_000, precision: 'f32' } };
    const session = await openEvaluateSession(taskOf('evaluate', 4, settings), store, machine);
    const found = await session.run(1, 4, new AbortController().signal);
    expect(decodeSafetensors(found).tensors.get('predictions')!.shape).to.deep.equal([3]);
    session.close();
  });

  it('two jobs of different tasks at once: none takes the session of the other away', async () => {
    const store = memoryStore();
    const tasks: string[] = [];
    for (const milliseconds of [1, 2]) tasks.push(await putTask(store, taskOf('stub', 4, { milliseconds })));
    const events: string[] = [];
    let opened = 0;
    const open = async (): Promise<Session> => {
      const own = opened++;
      let closed = false;
      return {
        adapter: noAdapter,
        async run(from, to) {
          events.push(`${own} begins`);
          await new Promise((resolve) => setTimeout(resolve, 20));
          events.push(closed ? `${own} is gone` : `${own} ends`);
          return Buffer.from(`${from}-${to}`);
        },
        close: () => void (closed = true),
      };
    };
    const runner = new JobRunner(store, open, 'test');
    const { signal } = new AbortController();
    const run = (k: number, from: number): Promise<void> =>
      runner.run({ kind: 'stub', task: tasks[k]!, from, to: from + 1 }, signal);
    const first = run(0, 0);
    while (events.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await Promise.all([first, run(1, 0), run(1, 1)]);
    runner.close();
    expect(events).to.deep.equal(['0 begins', '0 ends', '1 begins', '1 ends', '1 begins', '1 ends']);
  });

  it('two jobs at once of one compute process: each caller gets its own answer', async () => {
    const module = join(scratchFolder(), 'echo.mjs');
    writeFileSync(
      module,
      `process.on('message', ({ type, job }) => {
        if (type !== 'run') return;
        const answer = { outcome: { state: 'again', reason: String(job.from) }, spent: false, memory: 0 };
        setTimeout(() => process.send(answer), 20 - job.from);
      });
      process.on('disconnect', () => process.exit(0));`,
    );
    const computer = new ComputeProcess(pathToFileURL(module), { store: 'none', device: 'software' });
    const outcomes = await Promise.all([0, 5, 10].map((from) => computer.run(someJob(from, from + 1))));
    await computer.close();
    expect(outcomes.map((outcome) => (outcome.state === 'again' ? outcome.reason : ''))).to.deep.equal([
      '0',
      '5',
      '10',
    ]);
  }).timeout(20_000);
});
