/**
 * `node benchmarks/merge.mjs OUT A.json B.json ...`: joins the results of several `linbp bench --only ... --json` on
 * the same adapter, as a machine needs that is quiet for minutes only, and writes OUT.json, OUT.md and OUT.svg. A
 * file may itself be joined. Of a row that stands in several files the last one counts; its `run` is the index, in
 * `runs`, of the run that measured it: date, adapter, seconds and settings.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { comparisonChart, markdownTable } from '../dist/src/bench/present.js';

function fail(message) {
  process.stderr.write(`merge: ${message}\n`);
  process.exit(2);
}

/** The rows of a file, each with the run that measured it. */
function rowsOf(file) {
  const result = JSON.parse(readFileSync(file, 'utf8'));
  const { date, seconds, interrupted, settings, adapter } = result;
  const runs = result.runs ?? [{ date, adapter: adapter.description, seconds, interrupted, settings }];
  return result.rows.map(({ run: index, ...row }) => {
    const run = runs[result.runs === undefined ? 0 : index];
    if (!run?.date || !run.adapter || !run.settings)
      fail(`${file}: no run with date, adapter and settings is named by the row "${row.name}"`);
    return { adapter, run, row };
  });
}

const [, , out, ...files] = process.argv;
if (out === undefined || files.length === 0) fail('usage: node benchmarks/merge.mjs OUT FILE.json ...');
const found = new Map();
for (const each of files.flatMap(rowsOf)) found.set(`${each.row.name}|${each.row.subject}|${each.row.unit}`, each);
const kept = [...found.values()];
if (kept.length === 0) fail('no rows in these files');
const adapters = new Set(kept.map(({ run }) => run.adapter));
if (adapters.size > 1) fail(`results of different adapters: ${[...adapters].join('; ')}`);

const runs = [];
const indices = new Map();
for (const { run } of kept.toSorted((a, b) => a.run.date.localeCompare(b.run.date))) {
  const key = JSON.stringify(run);
  if (!indices.has(key)) indices.set(key, runs.push(run) - 1);
}
const round = (value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value);
const rows = kept.map(({ row, run }) => ({
  ...Object.fromEntries(Object.entries(row).map(([key, value]) => [key, round(value)])),
  run: indices.get(JSON.stringify(run)),
}));
const days = [...new Set([runs[0], runs.at(-1)].map(({ date }) => date.slice(0, 10)))];
const caption = `${runs[0].adapter}, ${days.join(' to ')}`;
writeFileSync(`${out}.json`, `${JSON.stringify({ adapter: kept.at(-1).adapter, runs, rows }, undefined, 2)}\n`);
writeFileSync(`${out}.md`, `# Benchmarks\n\n${caption}.\n\n${markdownTable(rows)}\n`);
writeFileSync(`${out}.svg`, comparisonChart(rows, caption));
