/*
 * node scripts/queue/stubs.mjs QUEUE STORE '{"count": N, "shard": N, ...}': hands out stub jobs, waits for their
 * results, and prints as JSON what came of them. Memory is that of this process, measured while jobs were added and
 * while results came.
 */
import { collect } from '../../dist/src/jobs/collect.js';
import { openBullQueue } from '../../dist/src/jobs/bullQueue.js';
import { taskOf } from '../../dist/src/jobs/description.js';
import { openStore } from '../../dist/src/jobs/openStore.js';
import { fixedPlan, partsOf } from '../../dist/src/jobs/plan.js';
import { putTask } from '../../dist/src/jobs/store.js';

const [url, folder, text] = process.argv.slice(2);
const { count, shard = 1, seed = 0, ...settings } = JSON.parse(text);
const store = await openStore(folder);
const queue = await openBullQueue(url);
const task = await putTask(store, taskOf('stub', count, { seed, ...settings }));
await queue.begin(task);
const parts = partsOf(count, fixedPlan(shard));
const seen = new Map();
const wrong = [];
const rss = () => Math.round(process.memoryUsage().rss / 2 ** 20);
const memory = [rss()];
const timer = setInterval(() => memory.push(rss()), 500);
const began = performance.now();
let error;
try {
  await collect({
    ...{ store, queue, kind: 'stub', task, parts },
    onResult({ index, from, to, bytes }) {
      seen.set(index, (seen.get(index) ?? 0) + 1);
      if (Buffer.from(bytes).toString() !== `${from}-${to}`) wrong.push(index);
    },
  });
} catch (cause) {
  error = { code: cause.code, message: cause.message };
}
clearInterval(timer);
const once = [...seen.values()].every((times) => times === 1);
const result = {
  ...{ jobs: parts.count, seen: seen.size, once, wrong: wrong.length, error },
  seconds: (performance.now() - began) / 1000,
  megabytes: { first: memory[0], most: Math.max(...memory), last: rss() },
};
process.stdout.write(`${JSON.stringify(result)}\n`);
await queue.close();
store.close();
