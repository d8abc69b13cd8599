/**
 * Compares the speed of two builds of linbp on this machine: each runs in a process of its own, and the two take turns
 * of a fraction of a second, so that other load falls on both. Build both first.
 *
 *   node scripts/compare-builds.mjs OLD NEW [--rounds N] [--turn MS] [--only WORD] [--json FILE]
 *
 * OLD and NEW are folders of checkouts. Prints, for each workload of `linbp bench --only training,attack`, milliseconds
 * of each build by the clock and of processor time (medians of all turns), and the ratio new over old: the median of
 * the pairs, with the middle half of them in brackets. A ratio is noise where 1 lies within the brackets.
 */
import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '30' },
    turn: { type: 'string', default: '300' },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
  },
});
if (positionals.length !== 2) throw new Error('give two folders: the old build and the new one');

const workloads = [
  { kind: 'training', model: 'lenet5', batch: 64 },
  { kind: 'training', model: 'mlp', batch: 64 },
  { kind: 'training', model: 'resnet20', batch: 16 },
  { kind: 'attack', model: 'resnet20', batch: 8, steps: 10 },
  { kind: 'attack', model: 'resnet20', batch: 32, steps: 10 },
];
const nameOf = ({ kind, model, batch }) => `${kind} ${model}, batch ${batch}`;

/** One answer of a build's process, as `src/bench/worker.ts` defines them. */
const ask = (child, request) =>
  new Promise((answered, failed) => {
    child.once('message', (answer) =>
      answer.error === undefined ? answered(answer) : failed(new Error(answer.error)),
    );
    child.send(request);
  });

const quantile = (values, part) => [...values].sort((a, b) => a - b)[Math.floor(values.length * part)];
const median = (values) => quantile(values, 0.5);

/** Both builds on one workload. */
async function compare(workload) {
  const children = positionals.map((folder) => {
    const file = (name) => resolve(folder, 'dist/src/bench', name);
    const party = pathToFileURL(file('linbpParty.js')).href;
    return fork(file('worker.js'), [party, 'plain'], { cwd: folder, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  });
  try {
    for (const child of children) {
      await ask(child, { call: 'open', workload });
      await ask(child, { call: 'run', units: 2 });
    }
    const { milliseconds } = await ask(children[0], { call: 'run', units: 2 });
    const units = Math.max(1, Math.round(Number(values.turn) / (milliseconds / 2)));
    const turns = children.map(() => []);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const answer = await ask(children[side], { call: 'run', units });
        turns[side].push({ clock: answer.milliseconds / units, processor: answer.processor / units });
      }
    }
    return turns;
  } finally {
    for (const child of children) child.kill();
  }
}

const rows = [];
for (const workload of workloads) {
  if (!nameOf(workload).includes(values.only)) continue;
  const [before, after] = await compare(workload);
  for (const what of ['clock', 'processor']) {
    const ratios = after.map((turn, i) => turn[what] / before[i][what]);
    const [old, now] = [before, after].map((turns) => median(turns.map((turn) => turn[what])));
    const [low, ratio, high] = [0.25, 0.5, 0.75].map((part) => quantile(ratios, part));
    rows.push({ name: nameOf(workload), what, old, new: now, ratio, low, high });
    const figures = `${old.toFixed(2)} -> ${now.toFixed(2)} ms, ratio ${ratio.toFixed(3)}`;
    console.log(`${nameOf(workload).padEnd(28)} ${what.padEnd(9)} ${figures} [${low.toFixed(2)}, ${high.toFixed(2)}]`);
  }
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ rows }, undefined, 2)}\n`);
