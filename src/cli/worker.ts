import { check } from '../errors.js';
import { serveQueue } from '../jobs/bullWorker.js';
import { ComputeProcess } from '../jobs/computeProcess.js';
import { openStore } from '../jobs/openStore.js';
import { shownUrl } from '../jobs/redis.js';
import { counted } from '../quote.js';
import { listAdapters } from '../runtime/adapter.js';
import { adapterOptions, noAdapter } from './common.js';
import { queueOptions } from './jobs/options.js';
import { choice, integer, number } from './options.js';
import { defineVerb } from './verb.js';

/** Names of software adapters; a GPU each gets a process. */
const software = /llvmpipe|lavapipe|swiftshader|basic render/i;

/** `linbp worker`: does jobs of a queue, with a process for each GPU. */
export const workerVerb = defineVerb({
  name: 'worker',
  summary: 'does the jobs that other runs hand out with --queue, on one GPU or on all',
  examples: [
    'linbp worker --queue redis://HOST --store /mnt/jobs',
    'linbp worker --queue rediss://USER:PASSWORD@HOST --store s3://BUCKET/PREFIX --gpus all',
  ],
  options: {
    ...queueOptions('take jobs from this Redis or Valkey'),
    ...adapterOptions,
    gpus: choice(['one', 'all'], { help: 'one process, or one for each GPU', byDefault: 'one' }),
    memory: number({ help: 'GiB after which a process makes room for a new one', byDefault: 8, min: 0.1 }),
    stalledAfter: number({
      help: 'seconds without a sign of life after which a worker counts as dead',
      byDefault: 15,
      min: 1,
      max: 3600,
    }),
    grace: number({
      help: 'seconds to finish a job after SIGTERM before handing it back',
      byDefault: 20,
      min: 0,
      max: 3600,
    }),
    jobs: integer({ help: 'end after N jobs', min: 1 }),
  },
  notes: [
    '',
    'Any number of workers on any number of machines may serve one queue; docs/queue.md shows how.',
    'Ctrl-C and SIGTERM finish the job at work, or hand it back after --grace seconds; nothing is lost either way.',
  ],
  async run(values, { progress, print, signal }) {
    const { queue, store, device, adapter, gpus, memory, stalledAfter, grace, jobs } = values;
    check(queue !== undefined, 'bad-argument', 'worker needs --queue redis://HOST, or LINBP_QUEUE', 'queue');
    const where = 'worker needs --store DIR|URL, or LINBP_STORE: the same as in the commands whose jobs it does';
    check(store !== undefined, 'bad-argument', where, 'store');
    check(
      gpus === 'one' || adapter === undefined,
      'bad-argument',
      '--adapter names one GPU, --gpus all takes each',
      'gpus',
    );
    // A store that is not there is said now, and not by each job.
    (await openStore(store)).close();
    let adapters = [adapter];
    if (gpus === 'all') {
      const found = (await listAdapters()).filter(({ name }) => !software.test(name));
      check(
        found.length > 0,
        'no-adapter',
        '--gpus all: this machine has no GPU ("linbp doctor" says more); without --gpus the worker computes on what ' +
          'there is',
        'gpus',
      );
      adapters = found.map(({ index }) => String(index));
    }
    const module = new URL('./jobs/process.js', import.meta.url);
    const computers = adapters.map(
      (each) =>
        new ComputeProcess(module, {
          store,
          device,
          maxMemory: memory * 2 ** 30,
          ...(each !== undefined && { adapter: each }),
        }),
    );
    let [done, failed] = [0, 0];
    progress.line(`worker of ${shownUrl(queue)}, ${computers.length} process${computers.length === 1 ? '' : 'es'}`);
    await serveQueue(queue, {
      ...{ computers, stalledAfter, grace, signal },
      ...(jobs !== undefined && { jobs }),
      onJob({ kind, task, from, to }, outcome, seconds) {
        if (outcome.state === 'done') done += 1;
        if (outcome.state === 'failed') failed += 1;
        const why =
          outcome.state === 'failed'
            ? `: ${outcome.failure.message}`
            : outcome.state === 'again'
              ? `: ${outcome.reason}`
              : '';
        progress.line(
          `${outcome.state.padEnd(6)}  ${kind} ${task.slice(0, 12)} ${from}-${to}  ${seconds.toFixed(1)} s${why}`,
        );
      },
      onNote: (note) => progress.line(note),
    });
    print(`${counted(done, 'job')} done, ${failed} failed`);
    return { adapter: noAdapter, fields: { done, failed } };
  },
});
