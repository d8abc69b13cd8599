import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../cli/support.js';

/** What people edit: sources, tests, scripts, shaders and pages. */
const places = ['.ci', 'benchmarks', 'bin', 'docs', 'examples', 'scripts', 'shaders', 'src', 'test', 'tuning'];
const written = /\.(ts|mjs|cjs|js|wgsl|md|py|c|sh)$|^[^.]+$/;
/** What programs write, and what other programs than linbp hold. */
const left = ['node_modules', 'results', 'api', 'fixtures'];

const filesIn = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return left.includes(entry.name) ? [] : filesIn(path);
    return entry.isFile() && written.test(entry.name) ? [path] : [];
  });

describe('lines that people edit', () => {
  it('have at most 120 columns', () => {
    const files = [
      ...places
        .filter((place) => statSync(join(root, place), { throwIfNoEntry: false }) !== undefined)
        .flatMap(filesIn),
      ...readdirSync(root).filter((name) => /\.(md|js|mjs)$/.test(name)),
    ];
    expect(files).to.include.members(['src/index.ts', 'README.md', 'docs/architecture.md', '.ci/run']);
    const long = files.flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .flatMap((line, index) => ([...line].length > 120 ? [`${file}:${index + 1}`] : [])),
    );
    expect(long).to.deep.equal([]);
  });
});
