import { check } from '../errors.js';
import { serveQueue } from '../jobs/bullWorker.js';
import { ComputeProcess } from '../jobs/computeProcess.js';
import { openStore } from '../jobs/openStore.js';
import { shownUrl } from '../jobs/redis.js';
import { counted } from '../quote.js';
import { findAdapter, listAdapters, separateGpus } from '../runtime/adapter.js';
import { adapterOptions, noAdapter } from './common.js';
import { queueOptions } from './jobs/options.js';
import { choice, integer, number } from './options.js';
import { defineVerb } from './verb.js';

/**
 * What `--adapter` says in each process. Whether there are such adapters is settled here: a process that finds none
 * hands its jobs back without end, since on another machine there may be one.
 */
async function adaptersOfProcesses(values: {
  readonly gpus: 'one' | 'all';
  readonly device: 'auto' | 'software';
  readonly adapter: string | undefined;
}): Promise<(string | undefined)[]> {
  const { gpus, device, adapter } = values;
  if (gpus === 'one') {
    await findAdapter(device === 'software', adapter);
    return [adapter];
  }
  check(adapter === undefined, 'bad-argument', '--adapter names one GPU, --gpus all takes each', 'gpus');
  check(device === 'auto', 'bad-argument', '--device software is no GPU; leave out --gpus all', 'gpus');
  const found = separateGpus(await listAdapters());
  const none = '--gpus all: this machine has no GPU ("linbp doctor" says more); without --gpus the worker computes on';
  check(found.length > 0, 'no-adapter', `${none} what there is`, 'gpus');
  return found.map(({ index }) => String(index));
}

/** `linbp worker`: does jobs of a queue, with a process for each GPU. */
export const workerVerb = defineVerb({
  name: 'worker',
  summary: 'runs the jobs that other commands submit with --queue, on one GPU or on all',
  examples: [
    'linbp worker --queue redis://HOST --store /mnt/jobs',
    'linbp worker --queue rediss://USER:PASSWORD@HOST --store s3://BUCKET/PREFIX --gpus all',
  ],
  options: {
    ...queueOptions('take jobs from this Redis or Valkey'),
    ...adapterOptions,
    gpus: choice(['one', 'all'], { help: 'one process, or one for each GPU', byDefault: 'one' }),
    memory: number({ help: 'GiB of memory after which a new process replaces this one', byDefault: 8, min: 0.1 }),
    stalledAfter: number({
      help: 'seconds without a heartbeat after which a worker counts as dead',
      byDefault: 15,
      min: 1,
      max: 3600,
    }),
    grace: number({
      help: 'seconds to finish a job after SIGTERM before returning it to the queue',
      byDefault: 20,
      min: 0,
      max: 3600,
    }),
    jobs: integer({ help: 'end after N jobs', min: 1 }),
  },
  notes: [
    '',
    'Any number of workers on any number of machines may serve one queue; docs/queue.md shows how.',
    'Ctrl-C and SIGTERM finish the current job, or return it to the queue after --grace seconds; nothing is lost ' +
      'either way.',
  ],
  async run(values, { progress, print, signal }) {
    const { queue, store, device, memory, stalledAfter, grace, jobs } = values;
    check(queue !== undefined, 'bad-argument', 'worker needs --queue redis://HOST, or LINBP_QUEUE', 'queue');
    const where = 'worker needs --store DIR|URL, or LINBP_STORE: the same as in the commands whose jobs it does';
    check(store !== undefined, 'bad-argument', where, 'store');
    // A store that is not there is said now, and not by each job.
    (await openStore(store)).close();
    const adapters = await adaptersOfProcesses(values);
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
