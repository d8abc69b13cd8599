// Writes the table of attacks in docs/attacks.md from their definitions; --check only says whether it is current.
import { readFileSync, writeFileSync } from 'node:fs';
import { attackCatalog } from '../dist/src/attacks/catalog.js';

const path = new URL('../docs/attacks.md', import.meta.url);
const text = readFileSync(path, 'utf8');
const own = ({ options }) =>
  options
    .filter(({ name }) => !['eps', 'alpha', 'restarts', 'randomStart', 'loss', 'decay', 'eot'].includes(name))
    .map(({ name, default: byDefault }) => `\`${name}=${byDefault}\``)
    .join(' ');
const rows = attackCatalog().map(
  (attack) =>
    `| \`${attack.name}\` | ${attack.norms.join(' ')} | ${own(attack)} | ${attack.keep} | ` +
    `${attack.gradients} | ${attack.forwards} | ${attack.source} |`,
);
const table = [
  '| attack | norms | own options | keeps | gradients | forwards | source |',
  '| --- | --- | --- | --- | ---: | ---: | --- |',
  ...rows,
];
const [begin, end] = ['<!-- table: node scripts/attack-table.mjs -->', '<!-- end of table -->'];
const made = [text.slice(0, text.indexOf(begin) + begin.length), ...table, text.slice(text.indexOf(end))].join('\n');
if (process.argv.includes('--check')) {
  if (made !== text) {
    process.stderr.write('docs/attacks.md is not current; run node scripts/attack-table.mjs\n');
    process.exitCode = 1;
  }
} else writeFileSync(path, made);
