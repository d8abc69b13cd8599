// Writes the list of attacks in docs/attacks.md from their definitions; --check only says whether it is current.
import { readFileSync, writeFileSync } from 'node:fs';
import { describeAutoAttack } from '../dist/src/attacks/batteryCatalog.js';
import { attackCatalog } from '../dist/src/attacks/catalog.js';

const path = new URL('../docs/attacks.md', import.meta.url);
const text = readFileSync(path, 'utf8');
const own = ({ options }) =>
  options
    .filter(({ name }) => !['eps', 'alpha', 'restarts', 'randomStart', 'keep', 'loss', 'decay', 'eot'].includes(name))
    .map(({ name, default: byDefault }) => `\`${name}=${byDefault}\``)
    .join(' ');
const counted = (count, thing) => `${count} ${thing}${count === 1 ? '' : 's'}`;
/** An item of a list, broken at 120 columns but inside no code. */
function wrapped(text) {
  const lines = [];
  let line = '-';
  for (const word of text.match(/`[^`]*`\S*|\S+/g)) {
    if (line.length + 1 + word.length > 120) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
const list = [...attackCatalog(), describeAutoAttack()].flatMap((attack) =>
  wrapped(
    `**${attack.name}** (${attack.norms.join(', ')}): ${own(attack)}; keeps the ${attack.keep} iterate; ` +
      `${counted(attack.gradients, 'gradient')}, ${attack.forwards} forward passes. ` +
      `${attack.source}`,
  ),
);
const [begin, end] = ['<!-- list: node scripts/attack-table.mjs -->', '<!-- end of list -->'];
const made = [text.slice(0, text.indexOf(begin) + begin.length), '', ...list, '', text.slice(text.indexOf(end))].join(
  '\n',
);
if (process.argv.includes('--check')) {
  if (made !== text) {
    process.stderr.write('docs/attacks.md is not current; run node scripts/attack-table.mjs\n');
    process.exitCode = 1;
  }
} else writeFileSync(path, made);
