import { check } from '../errors.js';
import { openBullQueue } from '../jobs/bullQueue.js';
import type { BullQueue } from '../jobs/bullQueue.js';
import { openStore } from '../jobs/openStore.js';
import { removeTask } from '../jobs/store.js';
import { counted, quoted } from '../quote.js';
import { noAdapter } from './common.js';
import { serveBoard } from './jobs/board.js';
import { queueOptions } from './jobs/options.js';
import { overviewOf } from './jobs/overview.js';
import type { TaskOverview } from './jobs/overview.js';
import { choice, integer, text } from './options.js';
import type { OptionValues } from './options.js';
import { defineVerb } from './verb.js';
import type { VerbContext } from './verb.js';

const options = {
  what: choice(['list', 'watch', 'cancel', 'retry', 'clean', 'ui'], {
    help: 'what to do; also as a plain word after the verb',
    byDefault: 'list',
  }),
  ...queueOptions("the queue's Redis or Valkey"),
  task: text({ help: 'the task, by the beginning of its name [all]', placeholder: 'HASH' }),
  port: integer({ help: 'of ui, on 127.0.0.1; 0 takes a free one', byDefault: 0, min: 0, max: 65535 }),
} as const;

type Values = OptionValues<typeof options>;

const line = ({ task, kind, waiting, active, failed, completed, left, error }: TaskOverview): string =>
  `${task.slice(0, 12)}  ${kind.padEnd(9)}  ${waiting} waiting, ${active} at work, ${failed} failed, ` +
  `${completed} done lately, ${left} left${error === undefined ? '' : `  ${error}`}`;

/** Tasks of the queue whose name begins as told. Throws `bad-argument` where there is none. */
async function chosenTasks(queue: BullQueue, { task }: Values): Promise<TaskOverview[]> {
  const all = await overviewOf(queue);
  const found = all.filter((each) => task === undefined || each.task.startsWith(task));
  const message = `the queue has no task ${quoted(task ?? '')}; "linbp jobs list" shows those that it has`;
  check(task === undefined || found.length > 0, 'bad-argument', message, 'task');
  return found;
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

async function list(queue: BullQueue, values: Values, { print }: VerbContext): Promise<object> {
  const tasks = await chosenTasks(queue, values);
  const { workers } = await queue.state();
  for (const each of tasks) print(line(each));
  print(`${counted(tasks.length, 'task')}, ${counted(workers, 'worker')} alive`);
  return { tasks, workers };
}

/** Prints the states whenever they change, until nothing waits any more. */
async function watch(queue: BullQueue, values: Values, { print, signal }: VerbContext): Promise<object> {
  let last = '';
  for (;;) {
    const tasks = await chosenTasks(queue, values);
    const { workers } = await queue.state();
    const shown = [...tasks.map(line), `${counted(workers, 'worker')} alive`].join('\n');
    if (shown !== last) for (const each of shown.split('\n')) print(each);
    last = shown;
    if (signal.aborted || tasks.every(({ waiting, active }) => waiting + active === 0)) return { tasks, workers };
    await pause(2000, signal);
  }
}

async function cancel(queue: BullQueue, values: Values, { print }: VerbContext): Promise<object> {
  let canceled = 0;
  for (const { task } of await chosenTasks(queue, values)) canceled += await queue.takeBack(task);
  print(`${counted(canceled, 'job')} taken back; those at work go on, and whoever waits for the task ends`);
  return { canceled };
}

async function retry(queue: BullQueue, values: Values, { print }: VerbContext): Promise<object> {
  let retried = 0;
  for (const { task } of await chosenTasks(queue, values)) retried += await queue.retry(task);
  print(`${counted(retried, 'failed job')} tried again`);
  return { retried };
}

/** Forgets tasks: their jobs in the queue, and with `--store` their results. */
async function clean(queue: BullQueue, values: Values, { print }: VerbContext): Promise<object> {
  const store = values.store === undefined ? undefined : await openStore(values.store);
  let [jobs, results] = [0, 0];
  for (const { task } of await chosenTasks(queue, values)) {
    jobs += await queue.forget(task);
    if (store !== undefined) results += await removeTask(store, task);
  }
  store?.close();
  print(
    store === undefined
      ? `${counted(jobs, 'job')} removed; with --store also the results go`
      : `${counted(jobs, 'job')} and ${counted(results, 'result')} removed`,
  );
  return { jobs, results };
}

async function ui(queue: BullQueue, { port }: Values, { print, signal }: VerbContext): Promise<object> {
  const board = await serveBoard(queue, port);
  print(`${board.url}  (Ctrl-C ends it)`);
  await pause(2 ** 31 - 1, signal);
  await board.close();
  return { url: board.url };
}

const actions = { list, watch, cancel, retry, clean, ui };

/** `linbp jobs`: what a queue holds, and what to do about it. */
export const jobsVerb = defineVerb({
  name: 'jobs',
  summary: 'lists, watches, cancels and retries the jobs of a queue',
  examples: [
    'linbp jobs list --queue redis://HOST',
    'linbp jobs cancel --queue redis://HOST --task 2b82519b',
    'linbp jobs ui --queue redis://HOST --port 8080',
  ],
  options,
  subject: 'what',
  needs: ({ what }) => ({
    port: [what === 'ui', 'goes with "linbp jobs ui"'],
    task: [what !== 'ui', 'does not go with ui, which shows the whole queue'],
    store: [what === 'clean', 'goes with "linbp jobs clean"'],
  }),
  notes: [
    '',
    'cancel removes waiting jobs, and ends the commands that wait for them; retry queues failed ones ' +
      'again; clean removes jobs and, with --store, results.',
    'ui serves bull-board on 127.0.0.1.',
  ],
  async run(values, context) {
    const { queue: url, what } = values;
    check(url !== undefined, 'bad-argument', 'jobs needs --queue redis://HOST, or LINBP_QUEUE', 'queue');
    const queue = await openBullQueue(url);
    try {
      return { adapter: noAdapter, fields: { ...(await actions[what](queue, values, context)) } };
    } finally {
      await queue.close();
    }
  },
});
