/*
 * npm run check:queue: everything that can go wrong between queue, workers and store, with real processes and a Redis
 * of its own: nothing is lost, nothing counts twice, nothing hangs.
 *
 *   --only TEXT    checks whose name contains it
 *   --repeat N     the two kill checks N times, with kills at random moments [1]
 *   --jobs N       jobs of the check of many jobs, by two workers [3000]
 *   --long         a queue that is away for a minute instead of seconds
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Crew, compareKilled, root, start } from './queue/kills.mjs';
import { missingRedis, RedisServer } from './queue/redis.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    repeat: { type: 'string' },
    jobs: { type: 'string', default: '3000' },
    long: { type: 'boolean' },
  },
});
const reason = missingRedis();
if (reason !== undefined) {
  console.log(`skipped: ${reason}`);
  process.exit(0);
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const folder = mkdtempSync(join(tmpdir(), 'linbp-queue-'));
const store = join(folder, 'store');
let seed = 0;

/** Hands out stub jobs and resolves with what came of them. */
function stubs(redis, settings, where = store, patience = 240_000) {
  const given = JSON.stringify({ seed: (seed += 1), ...settings });
  const child = spawn(process.execPath, ['scripts/queue/stubs.mjs', redis.url, where, given], { cwd: root });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const late = setTimeout(() => child.kill('SIGKILL'), patience);
  return new Promise((resolve, reject) => {
    child.on('close', () => {
      clearTimeout(late);
      if (stdout === '') reject(new Error(`the submitter ended or hung: ${stderr.slice(0, 500)}`));
      else resolve(JSON.parse(stdout));
    });
  });
}

function expect(condition, message, shown) {
  if (!condition) throw new Error(`${message}: ${JSON.stringify(shown)}`);
}

/** Every job came once, with its own result. */
function expectAll(result, jobs) {
  const { seen, once, wrong, error } = result;
  expect(error === undefined && seen === jobs && once && wrong === 0, `expected ${jobs} results, once each`, result);
}

const workerArgs = (redis, where = store) => [
  '--queue',
  redis.url,
  '--store',
  where,
  '--stalled-after',
  '2',
  '--grace',
  '1',
];

/** Runs something with workers, which are killed afterwards. */
async function withCrew(redis, count, use, { env = {}, where = store } = {}) {
  const crew = new Crew(count, workerArgs(redis, where), env);
  try {
    return await use(crew);
  } finally {
    await crew.close();
  }
}

/** The compute processes of a worker. */
const childrenOf = (pid) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

const isRoot = process.getuid?.() === 0;

const checks = {
  async 'workers killed at any moment'(redis) {
    for (let round = 0; round < Number(values.repeat ?? 1); round++)
      await withCrew(redis, 3, async (crew) => {
        let over = false;
        const killing = (async () => {
          while (!over) {
            await pause(0.3 + 2.5 * Math.random());
            if (!over && crew.kills < 12) await crew.kill();
          }
        })();
        const result = await stubs(redis, { count: 24, milliseconds: 400 }).finally(() => (over = true));
        await killing;
        expectAll(result, 24);
        if (values.repeat !== undefined)
          console.log(`  round ${round + 1}: ${crew.kills} kills, ${result.seconds.toFixed(1)} s`);
      });
  },

  async 'a compute process killed at any moment'(redis) {
    for (let round = 0; round < Number(values.repeat ?? 1); round++)
      await withCrew(redis, 1, async ({ workers }) => {
        let over = false;
        let kills = 0;
        const killing = (async () => {
          for (let kill = 0; kill < 5 && !over; kill++) {
            await pause(0.5 + 2 * Math.random());
            for (const pid of childrenOf(workers[0].child.pid)) {
              process.kill(pid, 'SIGKILL');
              kills += 1;
            }
          }
        })();
        const result = await stubs(redis, { count: 8, milliseconds: 300 }).finally(() => (over = true));
        await killing;
        expectAll(result, 8);
        if (values.repeat !== undefined)
          console.log(`  round ${round + 1}: ${kills} kills, ${result.seconds.toFixed(1)} s`);
      });
  },

  async 'many jobs: little memory for each, and all come back'() {
    const jobs = Number(values.jobs);
    const own = await RedisServer.start(['--appendfsync', 'everysec']);
    const ask = (...words) =>
      spawnSync('redis-cli', ['-p', own.port, ...words.map(String)], { encoding: 'utf8' }).stdout;
    const memory = () => Number(/used_memory:(\d+)/.exec(ask('info', 'memory'))[1]);
    const waiting = () => Number(ask('llen', 'bull:linbp:wait'));
    const place = join(folder, 'many');
    try {
      const before = memory();
      const began = performance.now();
      const running = stubs(own, { count: jobs }, place, 40 * 60_000);
      let ended = false;
      void running.then(
        () => (ended = true),
        () => (ended = true),
      );
      while (waiting() < jobs && !ended) await pause(0.1);
      const added = (performance.now() - began) / 1000;
      const each = (memory() - before) / jobs;
      const result = await withCrew(own, 2, () => running, { where: place });
      const worked = result.seconds - added;
      expectAll(result, jobs);
      const { first, last, most } = result.megabytes;
      const rate = (seconds) => `${(jobs / seconds).toFixed(0)} a second`;
      console.log(
        `  ${jobs} jobs added at ${rate(added)}, done at ${rate(worked)}; Redis ${each.toFixed(0)} bytes a job; ` +
          `memory of the submitter ${first} MiB at first, at most ${most}, at last ${last}`,
      );
      expect(each < 2000, 'expected less than 2 kB a job in Redis', { each });
      expect(most - first < 250, 'expected a submitter that does not grow', result.megabytes);
    } finally {
      await own.close();
    }
  },

  async 'a worker of several GPUs ends after its number of jobs'(redis) {
    const running = stubs(redis, { count: 7, milliseconds: 50 });
    let done = 0;
    const computer = () => ({
      async run({ from }) {
        await pause(0.2);
        // The first is not done, so that another takes its place.
        if (!failed) {
          failed = true;
          return { state: 'again', reason: 'tried again' };
        }
        done += 1;
        return { state: 'done', from };
      },
      abort() {},
      close: () => Promise.resolve(),
    });
    let failed = false;
    const { serveQueue } = await import('../dist/src/jobs/bullWorker.js');
    const { signal } = new AbortController();
    await serveQueue(redis.url, {
      ...{ computers: [computer(), computer(), computer()], stalledAfter: 5, grace: 2, signal, jobs: 4 },
    });
    expect(done === 4, 'expected four jobs', { done });
    expectAll(await withCrew(redis, 1, () => running), 7);
  },

  async 'Redis killed and started again, with persistence'(redis) {
    await withCrew(redis, 2, async () => {
      const running = stubs(redis, { count: 16, milliseconds: 400 });
      await pause(4);
      await redis.down();
      await pause(2);
      await redis.up();
      expectAll(await running, 16);
    });
  },

  async 'Redis does not answer for a while'(redis) {
    await withCrew(redis, 2, async () => {
      const running = stubs(redis, { count: 16, milliseconds: 400 });
      await pause(4);
      redis.process.kill('SIGSTOP');
      await pause(values.long ? 60 : 6);
      redis.process.kill('SIGCONT');
      expectAll(await running, 16);
    });
  },

  async 'Redis forgets everything'(redis) {
    await withCrew(redis, 2, async () => {
      const running = stubs(redis, { count: 16, milliseconds: 400 });
      await pause(4);
      spawnSync('redis-cli', ['-p', redis.port, 'flushall']);
      expectAll(await running, 16);
    });
  },

  async 'a store that is full for a while'(redis) {
    if (!isRoot) return 'mounting a small file system needs root';
    const small = join(folder, 'small');
    mkdirSync(small);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small]);
    if (mounted.status !== 0) return 'a small file system cannot be mounted here';
    try {
      return await withCrew(
        redis,
        2,
        async () => {
          const running = stubs(redis, { count: 16, milliseconds: 300 }, small);
          await pause(4);
          try {
            writeFileSync(join(small, 'filler'), Buffer.alloc(2 ** 20));
          } catch {
            // Full, as was wanted.
          }
          await pause(4);
          rmSync(join(small, 'filler'));
          expectAll(await running, 16);
        },
        { where: small },
      );
    } finally {
      spawnSync('umount', ['-l', small]);
    }
  },

  async 'a slow store: a compute process stands still'(redis) {
    await withCrew(redis, 1, async ({ workers }) => {
      const running = stubs(redis, { count: 4, milliseconds: 1000 });
      let children = [];
      while (children.length === 0) {
        await pause(0.2);
        children = childrenOf(workers[0].child.pid);
      }
      for (const pid of children) process.kill(pid, 'SIGSTOP');
      await pause(6);
      for (const pid of children) process.kill(pid, 'SIGCONT');
      expectAll(await running, 4);
    });
  },

  async 'a poisoned job is not tried again'(redis) {
    await withCrew(redis, 2, async ({ workers }) => {
      const result = await stubs(redis, { count: 6, poison: 3, milliseconds: 50 });
      expect(result.error?.code === 'bad-range', 'expected the error of the job', result);
      const tries = workers.map((worker) => worker.stderr().split('poisoned').length - 1);
      expect(tries[0] + tries[1] === 1, 'expected one attempt', tries);
    });
  },

  async 'a job that crashes its process five times in a row fails'(redis) {
    await withCrew(redis, 1, async ({ workers }) => {
      const result = await stubs(redis, { count: 4, crash: 2, milliseconds: 50 });
      expect(result.error?.code === 'gpu-error', 'expected a typed error', result);
      const crashes = workers[0].stderr().split('\nagain').length - 1;
      expect(crashes === 4, 'expected four attempts before the last one', workers[0].stderr());
    });
  },

  async '--same-adapter refuses results of two adapters; without it the result says which shard ran where'(redis) {
    const where = join(folder, 'adapters');
    const attack = (...more) =>
      start([
        ...['attack', '--model', 'mlp', '--limit', 6, '--steps', 2, '--shard', 2, '--out', join(folder, 'mixed')],
        ...['--queue', redis.url, '--store', where, '--json', '-', ...more],
      ]).ended;
    await withCrew(
      redis,
      1,
      async () => {
        expect((await attack('--same-adapter')).code === 0, 'expected one adapter to be no fault', {});
        const [task] = readdirSync(join(where, 'results'));
        const record = join(where, 'results', task, '2-4');
        const result = JSON.parse(readFileSync(record, 'utf8'));
        writeFileSync(record, JSON.stringify({ ...result, adapter: { ...result.adapter, description: 'another' } }));
        const refused = await attack('--same-adapter');
        expect(refused.code === 1 && refused.stderr.includes('and another'), 'expected both adapters named', refused);
        const { workers } = JSON.parse((await attack()).stdout);
        const ran = workers.shards.map(({ adapter }) => workers.adapters[adapter].description === 'another');
        expect(String(ran) === 'false,true,false', 'expected the shard of the other adapter', workers);
      },
      { where },
    );
  },

  async 'a task taken back ends its submitter, and the next one goes on with it'(redis) {
    const jobs = (...args) => start(['jobs', ...args, '--queue', redis.url]).ended;
    await withCrew(redis, 1, async () => {
      const settings = { count: 60, milliseconds: 300, seed: 'taken back' };
      const running = stubs(redis, settings);
      await pause(4);
      const listed = JSON.parse((await jobs('list', '--json', '-')).stdout);
      const { task } = listed.tasks.find(({ left }) => left > 0);
      const { code, stdout } = await jobs('cancel', '--task', task.slice(0, 12));
      expect(code === 0 && /^\d+ jobs? taken back/.test(stdout), 'expected jobs taken back', { code, stdout });
      const result = await running;
      expect(result.error?.code === 'aborted', 'expected a submitter that ends', result);
      expect(result.seen < 60, 'expected work left', result);
      const waiting = JSON.parse((await jobs('list', '--json', '-')).stdout).tasks.find((each) => each.task === task);
      expect((waiting?.waiting ?? 0) === 0, 'expected no job that waits', waiting);
      expectAll(await stubs(redis, settings), 60);
    });
  },

  async 'a lost GPU restarts its process'(redis) {
    await withCrew(redis, 1, async ({ workers }) => {
      expectAll(await stubs(redis, { count: 4, lostAfter: 1 }), 4);
      expect(workers[0].stderr().includes('lost its GPU'), 'expected losses', workers[0].stderr());
    });
  },

  async 'clocks that are an hour apart'(redis) {
    const skewed = (hours) => ({
      NODE_OPTIONS: `--import data:text/javascript,const%20now=Date.now;Date.now=()=>now()+${hours}*36e5;`,
    });
    await withCrew(
      redis,
      1,
      () =>
        withCrew(
          redis,
          1,
          async (crew) => {
            const running = stubs(redis, { count: 12, milliseconds: 400, lostAfter: 4 });
            await pause(5);
            await crew.kill();
            expectAll(await running, 12);
          },
          { env: skewed('(-1)') },
        ),
      { env: skewed('1') },
    );
  },

  async 'two submitters of the same jobs'(redis) {
    await withCrew(redis, 2, async ({ workers }) => {
      const same = { count: 12, milliseconds: 200, seed: 1e6 };
      const both = await Promise.all([stubs(redis, same), stubs(redis, same)]);
      for (const result of both) expectAll(result, 12);
      const done = workers.map((worker) => worker.stderr().split('\ndone').length - 1);
      expect(done[0] + done[1] === 12, 'expected each job to be done once', done);
    });
  },

  async 'a worker that is asked to stop hands its job back'(redis) {
    await withCrew(redis, 1, async ({ workers }) => {
      const running = stubs(redis, { count: 3, milliseconds: 4000 });
      while (!childrenOf(workers[0].child.pid).length) await pause(0.2);
      await pause(3);
      workers[0].child.kill('SIGTERM');
      const { code } = await workers[0].ended;
      expect(code === 0, 'expected exit code 0', workers[0].stderr());
      await withCrew(redis, 1, async () => expectAll(await running, 3));
    });
  },

  async 'what is no job of linbp fails, and nothing of it runs'(redis) {
    const { Queue } = await import('bullmq');
    const queue = new Queue('linbp', { connection: { host: '127.0.0.1', port: redis.port } });
    await queue.add('shell', { t: 'touch found', a: 0, b: 1 }, { jobId: 'one' });
    await queue.add('stub', { t: '../../../etc/passwd', a: 0, b: 1 }, { jobId: 'two' });
    await queue.add('stub', { t: 'ab'.repeat(32), a: 0, b: 1 }, { jobId: 'three' });
    await withCrew(redis, 1, async () => {
      expectAll(await stubs(redis, { count: 3 }), 3);
      const states = await Promise.all(['one', 'two', 'three'].map((id) => queue.getJobState(id)));
      expect(
        states.every((state) => state === 'failed'),
        'expected failed jobs',
        states,
      );
    });
    await queue.obliterate({ force: true });
    await queue.close();
  },

  async 'a password: asked for, and never shown'() {
    const guarded = await RedisServer.start(['--requirepass', 'topsecret']);
    try {
      for (const [word, good] of [
        ['topsecret', true],
        ['wrong', false],
      ]) {
        const url = `redis://:${word}@127.0.0.1:${guarded.port}`;
        const { code, stdout, stderr } = await start(['jobs', 'list', '--queue', url]).ended;
        expect((code === 0) === good, 'expected only the right password to work', { word, code, stderr });
        expect(!`${stdout}${stderr}`.includes(word), 'expected no password in the output', { stdout, stderr });
      }
    } finally {
      await guarded.close();
    }
  },

  async TLS() {
    const made = spawnSync('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      join(folder, 'key.pem'),
      '-out',
      join(folder, 'cert.pem'),
    ]);
    if (made.status !== 0) return 'openssl cannot make a certificate here';
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const port = 20_000 + Math.floor(20_000 * Math.random());
    const guarded = await RedisServer.start([
      '--tls-port',
      port,
      '--tls-cert-file',
      cert,
      '--tls-key-file',
      key,
      '--tls-ca-cert-file',
      cert,
      '--tls-auth-clients',
      'no',
    ]);
    try {
      const args = ['jobs', 'list', '--queue', `rediss://127.0.0.1:${port}`];
      const trusted = await start(args, { NODE_EXTRA_CA_CERTS: cert }).ended;
      expect(trusted.code === 0, 'expected a connection over TLS', trusted);
      const unknown = await start(args).ended;
      expect(unknown.code === 1, 'expected an unknown certificate to be refused', unknown);
    } finally {
      await guarded.close();
    }
  },

  async 'an attack over a queue has the bits of one process'() {
    const attack = ['--model', 'mlp', '--limit', 12, '--steps', 3, '--attack', 'apgd'];
    await compareKilled({ attack, shard: 2, kills: 2, every: 3, workers: 2, log: () => undefined });
  },
};

let failed = 0;
const redis = await RedisServer.start();
for (const [name, run] of Object.entries(checks)) {
  if (values.only !== undefined && !name.includes(values.only)) continue;
  const began = performance.now();
  try {
    const skipped = await run(redis);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(typeof skipped === 'string' ? `skipped  ${name}: ${skipped}` : `ok       ${name} (${seconds} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED   ${name}: ${error.message}`);
    spawnSync('redis-cli', ['-p', redis.port, 'flushall']);
  }
}
await redis.close();
rmSync(folder, { recursive: true, force: true });
process.exit(failed === 0 ? 0 : 1);
