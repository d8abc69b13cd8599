import { hostname } from 'node:os';
import { LinbpError } from '../../errors.js';
import type { FromProcess, ToProcess } from '../../jobs/computeProcess.js';
import type { Job } from '../../jobs/description.js';
import { openStore } from '../../jobs/openStore.js';
import { JobRunner, outcomeOf } from '../../jobs/runner.js';
import { hideLimitWarnings } from '../../runtime/quiet.js';
import { openMachine } from './sessions.js';

/*
 * A compute process: does the jobs that its parent sends, one at a time, and ends with it.
 */

hideLimitWarnings();

// The parent decides when to stop; a signal to the whole group, such as Ctrl-C, is meant for it.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
// Without its parent a compute process has nobody to work for.
process.on('disconnect', () => process.exit(0));

let runner: Promise<JobRunner> | undefined;
let work = new AbortController();

async function start({ store, device, adapter }: ToProcess & { type: 'start' }): Promise<JobRunner> {
  const machine = openMachine({ device, ...(adapter !== undefined && { adapter }) });
  return new JobRunner(await openStore(store), machine.open, `${hostname()}:${process.pid}`);
}

/** After a lost GPU, or one that cannot be opened, only a new process has another chance. */
const isSpent = (error: unknown): boolean =>
  error instanceof LinbpError && ['device-lost', 'no-adapter', 'disposed', 'gpu-error'].includes(error.code);

async function run(job: Job): Promise<FromProcess> {
  let [outcome, spent]: [FromProcess['outcome'], boolean] = [{ state: 'done' }, false];
  let started = false;
  try {
    const ready = await runner!;
    started = true;
    await ready.run(job, work.signal);
  } catch (error) {
    [outcome, spent] = [outcomeOf(error), !started || isSpent(error)];
  }
  return { outcome, spent, memory: process.memoryUsage.rss() };
}

process.on('message', (message: ToProcess) => {
  if (message.type === 'abort') work.abort();
  if (message.type === 'start') {
    runner = start(message);
    runner.catch(() => undefined);
  }
  if (message.type === 'run') {
    work = new AbortController();
    void run(message.job).then((answer) => process.send?.(answer));
  }
});
