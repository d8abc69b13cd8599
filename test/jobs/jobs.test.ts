import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { mergeParts } from '../../src/cli/jobs/mergeJobs.js';
import { attack } from '../../src/attacks/attack.js';
import { autoAttack } from '../../src/attacks/autoattack.js';
import { LinbpError } from '../../src/errors.js';
import type { LinbpErrorCode } from '../../src/errors.js';
import { collect } from '../../src/jobs/collect.js';
import { canonicalJson, checkTask, hashOf, jobData, jobId, readJob, taskOf } from '../../src/jobs/description.js';
import { directoryStore } from '../../src/jobs/directoryStore.js';
import { checkStoredImages, getImages, putImages } from '../../src/jobs/images.js';
import { LocalQueue } from '../../src/jobs/localQueue.js';
import { fixedPlan, partsOf, shardSize } from '../../src/jobs/plan.js';
import type { Computer, Outcome } from '../../src/jobs/queue.js';
import { shownUrl } from '../../src/jobs/redis.js';
import { JobRunner, outcomeOf } from '../../src/jobs/runner.js';
import type { Session } from '../../src/jobs/runner.js';
import { getBlob, getResult, putBlob, putResult, putTask, settlePlan } from '../../src/jobs/store.js';
import { fromArrays } from '../../src/data/dataset.js';
import { initialState } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { drawDigits } from '../../src/data/digits.js';
import { freshBytes, memoryStore, noAdapter, scratchFolder, someJob } from './support.js';
import { expectLinbpError } from '../io/support.js';

const scratch = scratchFolder();

/** The code that a promise is rejected with. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof LinbpError) return error.code;
    throw error;
  }
  return 'none';
}

describe('a queue of this machine alone', () => {
  /** A computer whose attempts end so. */
  const ending = (...codes: LinbpErrorCode[]): Computer & { attempts: number } => ({
    attempts: 0,
    async run() {
      const code = codes[Math.min(this.attempts++, codes.length - 1)]!;
      return code === 'internal' ? { state: 'done' } : { state: 'again', reason: `it says ${code}`, code };
    },
    close: async () => undefined,
  });
  const failuresOf = async (computer: Computer, told: string[] = []): Promise<string[]> => {
    const queue = new LocalQueue([computer], (reason) => told.push(reason));
    const job = someJob();
    await queue.add([job]);
    for (let waited = 0; waited < 200; waited++) {
      const { waiting, active } = await queue.state();
      if (waiting + active === 0) break;
      await queue.changed(100);
    }
    const found = (await queue.failures(job.task)).map(({ failure }) => failure.code);
    await queue.close();
    return found;
  };

  it('ends a job that no other machine can do: at once without an adapter, after five lost GPUs @slow', async () => {
    const none = ending('no-adapter');
    expect(await failuresOf(none)).to.deep.equal(['no-adapter']);
    expect(none.attempts).to.equal(1);
    const lost = ending('device-lost');
    expect(await failuresOf(lost)).to.deep.equal(['device-lost']);
    expect(lost.attempts).to.equal(5);
  });

  it('tries again otherwise, and says why, once', async () => {
    const told: string[] = [];
    const passing = ending('device-lost', 'not-writable', 'not-writable', 'internal');
    expect(await failuresOf(passing, told)).to.deep.equal([]);
    expect(passing.attempts).to.equal(4);
    expect(told).to.deep.equal(['it says device-lost', 'it says not-writable']);
  });
});

describe('descriptions of jobs', () => {
  it('equal descriptions have equal ids, others have others', () => {
    expect(canonicalJson({ b: 1, a: [{ d: 0.1, c: undefined }] })).to.equal('{"a":[{"d":0.1}],"b":1}');
    const job = someJob(3, 7);
    expect(jobId({ ...job })).to.equal(jobId({ to: 7, from: 3, task: job.task, kind: 'stub' }));
    expect(jobId(job)).not.to.equal(jobId({ ...job, to: 8 }));
    expect(readJob('stub', jobData(job))).to.deep.equal(job);
  });

  it('whatever is no description is refused', () => {
    const { t, a, b } = jobData(someJob());
    const bad: [unknown, unknown][] = [
      ['shell', { t, a, b }],
      ['stub', { t: '../../etc/passwd', a, b }],
      ['stub', { t: t.toUpperCase(), a, b }],
      ['stub', { t, a: 1, b: 1 }],
      ['stub', { t, a: -1, b }],
      ['stub', { t, a: 0.5, b }],
      ['stub', { t, a, b: 2 ** 40 }],
      ['stub', { t, a, b, run: 'code' }],
      ['stub', null],
      ['stub', [t, a, b]],
    ];
    for (const [kind, data] of bad)
      expect(() => readJob(kind, data), JSON.stringify(data))
        .to.throw(LinbpError)
        .with.property('code', 'bad-argument');
    const task = taskOf('stub', 5, { x: 1 });
    expect(checkTask(JSON.parse(canonicalJson(task)))).to.deep.equal(task);
    for (const change of [{ kind: 'eval' }, { count: 0 }, { settings: [] }, { version: 1 }, { more: 1 }])
      expect(() => checkTask({ ...task, ...change })).to.throw(LinbpError);
    expect(() => taskOf('stub', 5, { x: NaN })).not.to.throw();
    expect(() => canonicalJson({ x: NaN }))
      .to.throw(LinbpError)
      .with.property('code', 'bad-range');
  });

  it('messages and results show no password', () => {
    expect(shownUrl('rediss://me:secret@host:1/2')).to.equal('rediss://***@host:1/2');
    expect(shownUrl('redis://host:1')).to.equal('redis://host:1');
  });
});

describe('plans', () => {
  it('name the size that cannot be', () => {
    const plan = { probe: 1, probes: 1, shard: 1 };
    const cases = [
      [0, {}, 'total of a plan must be a whole number above 0, got 0'],
      [4, { shard: 1.5 }, 'shard of a plan must be a whole number above 0, got 1.5'],
      [4, { probe: -1 }, 'probe of a plan must be a whole number above 0, got -1'],
    ] as const;
    for (const [total, odd, message] of cases) expect(() => partsOf(total, { ...plan, ...odd })).to.throw(message);
  });

  it('ranges cover everything once, whatever the sizes', () => {
    for (const [total, probe, probes, shard] of [
      [200, 10, 0, 10],
      [7, 3, 2, 2],
      [5, 8, 3, 4],
      [100, 7, 3, 9],
      [1, 1, 1, 1],
    ] as const) {
      const parts = partsOf(total, { probe, probes, shard });
      let at = 0;
      for (let index = 0; index < parts.count; index++) {
        const { from, to } = parts.at(index);
        expect(from).to.equal(at);
        expect(to).to.be.above(from);
        expect(parts.indexOf(`${from}-${to}`)).to.equal(index);
        at = to;
      }
      expect(at).to.equal(total);
      for (const other of ['0-0', '1-2000', 'x', '-1-3', '0-1e9', `${total}-${total + 1}`])
        expect(parts.indexOf(other), other).to.equal(undefined);
    }
  });

  it('shards take about 25 s, are whole batches, and leave nobody without work', () => {
    expect(shardSize({ images: 64, seconds: 1 }, 1e6, 4, 64)).to.equal(1600);
    expect(shardSize({ images: 64, seconds: 4 }, 1e6, 4, 64)).to.equal(384);
    expect(shardSize({ images: 64, seconds: 1 }, 100, 4, 64)).to.equal(25);
    expect(shardSize({ images: 1, seconds: 1000 }, 100, 1, 64)).to.equal(1);
  });
});

describe('stores', () => {
  const stores = [
    ['a folder', () => directoryStore(join(scratch, `store-${Math.random()}`))],
    ['memory', memoryStore],
  ] as const;
  for (const [name, open] of stores)
    it(`${name}: blobs by content, records by name, plans by the first`, async () => {
      const store = await open();
      const bytes = freshBytes();
      const hash = await putBlob(store, bytes);
      expect(hash).to.equal(hashOf(bytes));
      expect(Buffer.from(await getBlob(store, hash)).equals(bytes)).to.equal(true);
      expect(await codeOf(getBlob(store, hashOf('other')))).to.equal('missing-file');
      expect(await codeOf(getBlob(store, '../../etc/passwd'))).to.equal('bad-argument');
      const job = someJob(2, 4);
      expect(await getResult(store, job)).to.equal(undefined);
      const about = { adapter: noAdapter, worker: 'w', seconds: 0.1 };
      await putResult(store, job, bytes, about);
      expect(await getResult(store, job)).to.deep.equal({ result: hash, ...about });
      const plans = await Promise.all([3, 4, 5].map((shard) => settlePlan(store, job.task, fixedPlan(shard))));
      expect(new Set(plans.map(({ shard }) => shard)).size).to.equal(1);
      await store.remove('results/none');
      expect(await store.list('none')).to.deep.equal([]);
    });

  it('damaged blobs are noticed, and replaced by who stores them again', async () => {
    const folder = join(scratch, 'damaged');
    const store = await directoryStore(folder);
    const bytes = freshBytes();
    const hash = await putBlob(store, bytes);
    const path = join(folder, 'blobs', hash.slice(0, 2), hash);
    writeFileSync(path, freshBytes());
    expect(await codeOf(getBlob(store, hash))).to.equal('bad-file');
    writeFileSync(path, freshBytes(1000));
    expect(await codeOf(getBlob(store, hash, 100))).to.equal('limit-exceeded');
    await putBlob(store, bytes);
    expect(Buffer.from(await getBlob(store, hash)).equals(bytes)).to.equal(true);
  });

  it('a file in the place of a folder is an error and no hang', async () => {
    const path = join(scratch, 'file');
    writeFileSync(path, '');
    await expectLinbpError(() => directoryStore(path), 'not-writable');
    mkdirSync(join(scratch, 'empty'));
    await directoryStore(join(scratch, 'empty'));
    expect(readdirSync(join(scratch, 'empty'))).to.deep.equal([]);
  });

  it('images come back as they were, whatever the range', async () => {
    const store = memoryStore();
    const bytes = drawDigits({ split: 'test', count: 7 });
    const floats = fromArrays({
      shape: [3, 1, 800, 700],
      classes: 9,
      images: Float32Array.from({ length: 3 * 560_000 }, (_, i) => (i % 977) / 977),
      labels: Uint8Array.from([8, 0, 3]),
    });
    for (const dataset of [bytes, floats]) {
      const stored = checkStoredImages(JSON.parse(JSON.stringify(await putImages(store, dataset))));
      const size = dataset.images.length / dataset.count;
      for (let from = 0; from < dataset.count; from++)
        for (let to = from + 1; to <= dataset.count; to++) {
          const part = await getImages(store, stored, from, to);
          expect(Array.from(part.labels)).to.deep.equal(Array.from(dataset.labels.slice(from, to)));
          expect(hashOf(new Uint8Array(part.images.buffer, part.images.byteOffset, part.images.byteLength))).to.equal(
            hashOf(Uint8Array.from(new Uint8Array(dataset.images.slice(from * size, to * size).buffer))),
          );
        }
      for (const change of [{ blocks: ['../x'] }, { count: 1e12 }, { labels: 3 }, { shape: [1, 28] }, { block: 0 }])
        expect(() => checkStoredImages({ ...stored, ...change })).to.throw(LinbpError);
    }
  });
});

/** Parts of a stub task, done by computers that behave as told. */
async function collectStubs(
  count: number,
  behave: (attempt: number, from: number) => Outcome | 'compute',
  workers = 3,
) {
  const store = memoryStore();
  const task = await putTask(store, taskOf('stub', count, { seed: Math.random() }));
  const session: Session = {
    adapter: noAdapter,
    run: async (from, to) => Buffer.from(`${from}-${to}`),
    close: () => undefined,
  };
  const runner = new JobRunner(store, async () => session, 'test');
  const attempts = new Map<number, number>();
  const computers = Array.from({ length: workers }, (): Computer => ({
    async run(job) {
      const attempt = attempts.get(job.from) ?? 0;
      attempts.set(job.from, attempt + 1);
      const outcome = behave(attempt, job.from);
      if (outcome !== 'compute') return outcome;
      return runner.run(job, new AbortController().signal).then(() => ({ state: 'done' as const }), outcomeOf);
    },
    close: async () => undefined,
  }));
  const queue = new LocalQueue(computers);
  const seen: number[] = [];
  try {
    const parts = partsOf(count, fixedPlan(2));
    await collect({ store, queue, kind: 'stub', task, parts, onResult: ({ index }) => void seen.push(index) });
    await collect({ store, queue, kind: 'stub', task, parts, onResult: ({ index }) => void seen.push(-index) });
  } finally {
    await queue.close();
  }
  return { seen, attempts };
}

describe('collecting results', () => {
  it('each part comes once, though workers die and results get lost; what is done is not done again', async () => {
    const { seen, attempts } = await collectStubs(21, (attempt, from) =>
      attempt === 0 && from % 4 === 0
        ? { state: 'again', reason: 'killed' }
        : attempt === 1 && from === 4
          ? { state: 'done' }
          : 'compute',
    );
    const all = Array.from({ length: 11 }, (_, i) => i);
    expect(seen.slice(0, 11).sort((a, b) => a - b)).to.deep.equal(all);
    expect(
      seen
        .slice(11)
        .map(Math.abs)
        .sort((a, b) => a - b),
    ).to.deep.equal(all);
    expect(attempts.get(4)).to.equal(3);
    expect(attempts.get(2)).to.equal(1);
  }).timeout(20_000);

  it("a job that is itself at fault is not tried again, and its error is the run's", async () => {
    const tried: number[] = [];
    const run = collectStubs(8, (attempt, from) => {
      if (from !== 4) return 'compute';
      tried.push(attempt);
      return { state: 'failed', failure: { code: 'bad-range', message: 'no such thing', field: 'eps' } };
    });
    const error = await run.then(
      () => undefined,
      (reason: unknown) => reason as LinbpError,
    );
    expect(error).to.include({ code: 'bad-range', field: 'eps' });
    expect(error!.message).to.match(/^job [0-9a-f]{32} \(4 to 5\) failed: no such thing$/);
    expect(tried).to.deep.equal([0]);
  });

  it('goes on right after a queue that was away', async () => {
    const store = memoryStore();
    const task = await putTask(store, taskOf('stub', 2, {}));
    const pauses: number[] = [];
    let calls = 0;
    const queue = {
      shown: 'away for a while',
      add: async () => undefined,
      failures: async () => [],
      forgotten: async () => [],
      begin: async () => undefined,
      takenBack: async () => false,
      cancel: async () => 0,
      close: async () => undefined,
      async state() {
        if ((calls += 1) === 2) await new Promise((resolve) => setTimeout(resolve, 500));
        return { waiting: 0, active: 1, failed: 0, workers: 1 };
      },
      async changed(milliseconds: number) {
        pauses.push(milliseconds);
        const record = { adapter: noAdapter, worker: 'test', seconds: 1 };
        await putResult(store, { kind: 'stub', task, from: 0, to: 2 }, freshBytes(), record);
      },
    };
    await collect({ store, queue, kind: 'stub', task, parts: partsOf(2, fixedPlan(2)), onResult: () => undefined });
    expect(Math.max(...pauses)).to.be.at.most(1000);
  });

  it('errors of the machine are no fault of the job', () => {
    for (const code of ['device-lost', 'unreachable', 'not-writable', 'aborted', 'no-adapter'] as const)
      expect(outcomeOf(new LinbpError(code, 'x')).state).to.equal('again');
    for (const code of ['bad-argument', 'diverged', 'unknown-model', 'bad-file'] as const)
      expect(outcomeOf(new LinbpError(code, 'x'))).to.deep.equal({ state: 'failed', failure: { code, message: 'x' } });
  });

  it('a worker refuses a job beyond its task, and one of another version', async () => {
    const store = memoryStore();
    const session: Session = { adapter: noAdapter, run: async () => freshBytes(), close: () => undefined };
    const runner = new JobRunner(store, async () => session, 'test');
    const task = await putTask(store, taskOf('stub', 5, {}));
    const { signal } = new AbortController();
    expect(await codeOf(runner.run({ kind: 'stub', task, from: 4, to: 6 }, signal))).to.equal('bad-argument');
    expect(await codeOf(runner.run({ kind: 'attack', task, from: 4, to: 5 }, signal))).to.equal('bad-argument');
    const other = await putTask(store, { ...taskOf('stub', 5, {}), version: '0.0.1' });
    expect(await codeOf(runner.run({ kind: 'stub', task: other, from: 0, to: 5 }, signal))).to.equal('unsupported');
    expect(await codeOf(runner.run({ kind: 'stub', task: hashOf('none'), from: 0, to: 5 }, signal))).to.equal(
      'missing-file',
    );
  });
});

describe('results of ranges put together', () => {
  const definition = modelDefinition('mlp');
  const model = { definition, weights: initialState(definition, 3) };
  const images = drawDigits({ split: 'test', count: 5 });
  const ranges = [
    [0, 2],
    [2, 3],
    [3, 5],
  ] as const;
  const range = (from: number, to: number) => ({
    images: fromArrays({
      ...images,
      shape: [to - from, 1, 28, 28],
      images: images.images.slice(784 * from, 784 * to),
      labels: images.labels.slice(from, to),
    }),
    sampleIds: Array.from({ length: to - from }, (_, n) => from + n),
  });
  const untimed = (result: object): unknown =>
    JSON.parse(JSON.stringify(result, (key, value: unknown) => (/econd|submits/.test(key) ? undefined : value)));
  const merging = { norm: 'linf', classes: 10, batch: 64, seconds: 1 } as const;

  it('have the same bits as one run: APGD with a random start', async () => {
    const options = { model, device: 'reference', attack: 'apgd', eps: 0.1, steps: 3, restarts: 2, seed: 5 } as const;
    const whole = await attack({ ...options, images });
    const parts = [];
    for (const [from, to] of ranges) parts.push(await attack({ ...options, ...range(from, to) }));
    expect(untimed(mergeParts(parts, merging))).to.deep.equal(untimed(whole));
  }).timeout(60_000);

  it('have the same bits as one run: AutoAttack', async () => {
    const options = {
      model,
      device: 'reference',
      eps: 0.02,
      version: 'custom',
      stages: ['apgd-ce', 'square'],
      steps: 2,
      queries: 4,
    } as const;
    const whole = await autoAttack({ ...options, images });
    const parts = [];
    for (const [from, to] of ranges) parts.push(await autoAttack({ ...options, ...range(from, to) }));
    expect(untimed(mergeParts(parts, merging))).to.deep.equal(untimed(whole));
  }).timeout(60_000);
});
