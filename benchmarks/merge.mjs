/**
 * `node benchmarks/merge.mjs OUT A.json B.json ...`: joins the results of several `linbp bench --only ... --json` on the same adapter, as a
 * machine needs that is quiet for minutes only, and writes OUT.json, OUT.md and OUT.svg. Of a row that stands in several files the last one counts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { comparisonChart, markdownTable } from '../dist/src/bench/present.js';

const [, , out, ...files] = process.argv;
if (out === undefined || files.length === 0) {
  process.stderr.write('usage: node benchmarks/merge.mjs OUT FILE.json ...\n');
  process.exit(2);
}
const results = files.map((file) => JSON.parse(readFileSync(file, 'utf8')));
const adapters = new Set(results.map(({ adapter }) => adapter.description));
if (adapters.size > 1) throw new Error(`results of different adapters: ${[...adapters].join('; ')}`);

const rows = new Map();
for (const result of results) for (const row of result.rows) rows.set(`${row.name}|${row.subject}|${row.unit}`, row);
const round = (value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value);
const compact = [...rows.values()].map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, round(value)])));
const { adapter, date } = results.at(-1);
const runs = results.map(({ date, settings, seconds }) => ({ date, seconds, settings }));
const caption = `${adapter.description}, ${date.slice(0, 10)}`;
writeFileSync(`${out}.json`, `${JSON.stringify({ adapter, runs, rows: compact }, undefined, 2)}\n`);
writeFileSync(`${out}.md`, `# Benchmarks\n\n${caption}.\n\n${markdownTable([...rows.values()])}\n`);
writeFileSync(`${out}.svg`, comparisonChart([...rows.values()], caption));
