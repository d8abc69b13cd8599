/**
 * Writes the choices that come with the package for one kind of adapter, tuning/VENDOR-ARCHITECTURE[-PROCESSOR].json:
 * those that independent runs of "linbp tune ... --out FILE" agree on. Prints what is kept and what the runs disagree
 * about.
 *
 *   node scripts/ship-tuning.mjs FILE FILE...
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agreed, choiceName, readTuning, shippedName, writeTuning } from '../dist/src/tune/index.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const files = process.argv.slice(2);

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

if (files.length < 2) fail('usage: node scripts/ship-tuning.mjs FILE FILE...: what a single run says may be noise');
const identity = JSON.parse(readFileSync(files[0], 'utf8')).identity;
const tables = [];
for (const file of files) {
  const { table, warning } = await readTuning(file, identity);
  if (table === undefined) fail(warning ?? `${file} does not exist`);
  tables.push(table);
}

const table = agreed(tables);
const line = (key, { choice, microseconds, usualMicroseconds }) =>
  `${key}: ${choiceName(choice)}, ${(microseconds / usualMicroseconds).toFixed(2)} of the usual choice's time`;
for (const [key, entry] of table.entries) process.stdout.write(`kept     ${line(key, entry)}\n`);
const changed = tables.flatMap(({ entries }) =>
  [...entries].filter(([, entry]) => entry.microseconds < entry.usualMicroseconds),
);
for (const [key, entry] of changed) if (!table.entries.has(key)) process.stdout.write(`left out ${line(key, entry)}\n`);
const path = join(root, 'tuning', shippedName(identity));
await writeTuning(path, identity, table);
process.stdout.write(
  `${table.entries.size} of ` +
    `${new Set(tables.flatMap(({ entries }) => [...entries.keys()])).size} problems in ${path}\n`,
);
