import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadTensors } from '../support/tensors.js';
import { root } from '../cli/support.js';
import { dataFolder } from '../attacks/replay.js';
import { pending } from '../support/pending.js';

/** One item of the page: a file, its entries with * for any name, and the test that compares them. */
interface Row {
  readonly file: string;
  readonly entries: readonly RegExp[];
  readonly tests: readonly string[];
}

const ticked = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
const pattern = (text: string): RegExp =>
  new RegExp(`^${text.replace(/[.+?^$(){}|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`);

const page = readFileSync(join(root, 'docs', 'reference-values.md'), 'utf8');
const rows: readonly Row[] = page
  .replaceAll('\n  ', ' ')
  .split('\n')
  .filter((line) => line.startsWith('- `'))
  .map((line) => {
    // what is not compared has a reason there
    const [what, shown = ''] = line.split(/\. (?:By|Why:) /) as [string, string | undefined];
    const [file, ...entries] = ticked(what);
    return {
      file: file!,
      entries: entries.map(pattern),
      tests: line.includes('. By ') ? ticked(shown).slice(0, 1) : [],
    };
  });

/** What a file of reference values holds: tensors by name, or without a file of tensors the names of its results. */
function entriesOf(path: string): string[] {
  if (path.endsWith('.safetensors')) return [...loadTensors(path).tensors.keys()];
  if (existsSync(path.replace('.json', '.safetensors'))) return [];
  type Given = Readonly<Record<string, Readonly<Record<string, object>> | undefined>>;
  const { runs, results, individual = {}, family } = JSON.parse(readFileSync(path, 'utf8')) as Given;
  if (results === undefined && runs === undefined)
    return ['standard', ...Object.keys(individual).map((name) => `individual.${name}`)];
  return Object.entries(results ?? runs!).flatMap(([name, models]) =>
    family === undefined ? [name] : Object.keys(models).map((model) => `${name}.${model}`),
  );
}

describe('the page of reference values', () => {
  it('names tests that are there', () => {
    expect(rows.filter(({ tests }) => tests.length > 0).length).to.be.above(20);
    for (const { tests, file } of rows) {
      for (const test of tests) {
        const path = test.startsWith('scripts/') ? test : join('test', 'attacks', `${test}.test.ts`);
        expect(existsSync(join(root, path)), `${file}: ${test}`).to.equal(true);
      }
    }
  });

  it('leaves out no entry of any file', function () {
    const folder = join(dataFolder, '..', 'golden', 'attacks');
    if (dataFolder === '' || !existsSync(folder)) return pending(this, 'the golden files beside LINBP_DATA');
    let seen = 0;
    for (const file of readdirSync(folder)) {
      const [name, kind] = [file.replace(/\.\w+$/, ''), file.split('.').at(-1)];
      const own = rows.filter((row) => pattern(row.file).test(name)).flatMap((row) => row.entries);
      if (kind === 'md') continue;
      for (const entry of entriesOf(join(folder, file))) {
        expect(
          own.some((each) => each.test(entry)),
          `${name}: ${entry}`,
        ).to.equal(true);
        seen++;
      }
    }
    expect(seen).to.be.above(300);
  });
});
