import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from '../cli/support.js';

/** The text of all files in a folder whose names end so, by path. */
const textsOf = (folder: string, end: string): Map<string, string> =>
  new Map(
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(end))
      .map((name) => [name.replaceAll('\\', '/'), readFileSync(join(root, folder, name), 'utf8')]),
  );

describe('names of shaders', () => {
  it('stand in the sources as words, so that a search for a file finds who uses it', () => {
    const shaders = textsOf('shaders', '.wgsl');
    const sources = [...textsOf('src', '.ts').values(), ...shaders.values()].join('\n');
    const words = new Set(sources.match(/\w+/g));
    const hidden = [...shaders.keys()].filter((path) => !words.has(/(\w+)\.wgsl$/.exec(path)![1]!));
    expect(shaders.size).to.be.above(100);
    expect(hidden).to.deep.equal([]);
  });
});
