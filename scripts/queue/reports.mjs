/*
 * node scripts/queue/reports.mjs [--scale SHARE] [--limit N] [--rounds N] [--only sweep|reproduce]
 *
 * `train --sweep` and `reproduce mnist-mlp` in one process and over a Redis of its own with one worker, in turns: the
 * reports must be the same. Prints seconds of the whole command in one process, seconds that the worker computed, and
 * processor seconds of both. Exit code 1 where reports differ.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, isDeepStrictEqual } from 'node:util';
import { Crew, root } from './kills.mjs';
import { RedisServer } from './redis.mjs';

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '0.05' },
    limit: { type: 'string', default: '6000' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});

const sgd = ['--optimizer', 'sgd', '--momentum', '0', '--schedule', 'constant', '--epochs', '2'];
const verbs = {
  sweep: [
    ...['train', '--model', 'mlp', '--limit', values.limit, '--test-limit', '1000', ...sgd],
    ...['--rule', 'bp', '--rule', 'linbp', '--sweep', 'lr=0.05,0.1,0.2', '--seeds', '3'],
  ],
  reproduce: ['reproduce', 'mnist-mlp', '--scale', values.scale, '--seeds', '2'],
};

/** Seconds by the clock and of the processor of one command, and what it wrote. */
async function run(args, out) {
  const code = `
    process.argv = [process.argv[0], 'linbp', ...JSON.parse(process.argv[1])];
    process.on('exit', () => {
      const { user, system } = process.cpuUsage();
      require('node:fs').writeFileSync(process.env.CPU_FILE, String((user + system) / 1e6));
    });
    import(${JSON.stringify(new URL('../../bin/linbp.js', import.meta.url).href)});`;
  const began = performance.now();
  const given = JSON.stringify([...args, '--out', out, '--json', `${out}.json`]);
  const child = spawn(process.execPath, ['-e', code, given], {
    cwd: root,
    env: { ...process.env, CPU_FILE: `${out}.cpu` },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += text));
  const exit = await new Promise((resolve) => child.on('close', resolve));
  if (exit !== 0) throw new Error(`linbp ${args.join(' ')} ended with ${exit}: ${stderr}`);
  const result = JSON.parse(readFileSync(`${out}.json`, 'utf8'));
  const workers = [result.workers].flat().filter(Boolean);
  return {
    seconds: (performance.now() - began) / 1000,
    processor: Number(readFileSync(`${out}.cpu`, 'utf8')),
    workerSeconds: workers.reduce((sum, each) => sum + each.workerSeconds, 0),
    jobs: workers.reduce((sum, each) => sum + each.jobs, 0),
    result,
  };
}

/** A result without times, rates, and where it was computed and written. */
function comparable(result) {
  const text = JSON.stringify(result, (key, value) =>
    /seconds|PerSecond|^(out|workers|queue|store|index|report)$/i.test(key) ? undefined : value,
  );
  return JSON.parse(text);
}

const ticks = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return fields.slice(11, 15).reduce((sum, each) => sum + Number(each), 0) / 100;
};
/** Processor seconds of a worker and its compute processes. */
const processorOf = (pid) => {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return ticks(pid) + children.reduce((sum, child) => sum + ticks(child), 0);
};

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)];
const folder = mkdtempSync(join(tmpdir(), 'linbp-reports-'));
const redis = await RedisServer.start();
let failed = false;
try {
  for (const [name, args] of Object.entries(verbs)) {
    if (values.only !== undefined && values.only !== name) continue;
    const rows = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      const store = join(folder, `store-${name}-${round}`);
      const alone = await run(args, join(folder, `${name}-alone-${round}`));
      const crew = new Crew(1, ['--queue', redis.url, '--store', store]);
      const over = await run([...args, '--queue', redis.url, '--store', store], join(folder, `${name}-queue-${round}`));
      const worker = processorOf(crew.workers[0].child.pid);
      await crew.close();
      const same = isDeepStrictEqual(comparable(alone.result), comparable(over.result));
      failed ||= !same;
      rows.push({ alone, over, worker });
      console.log(
        `${name}: ${same ? 'the same report' : 'REPORTS DIFFER'}; one process ${alone.seconds.toFixed(1)} s ` +
          `(${alone.processor.toFixed(1)} s of processor time); over the queue ${over.jobs} jobs in ` +
          `${over.workerSeconds.toFixed(1)} s of the worker (${worker.toFixed(1)} s of processor time), ` +
          `${over.seconds.toFixed(1)} s in all`,
      );
    }
    const ratio = (of) => median(rows.map(of)).toFixed(3);
    const clock = ratio(({ alone, over }) => over.workerSeconds / alone.seconds);
    const processor = ratio(({ alone, worker }) => worker / alone.processor);
    console.log(`${name}: seconds of the worker over those of one process ${clock}, of processor time ${processor}`);
  }
} finally {
  await redis.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
