import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PartyEntry } from '../../src/bench/party.js';

/** A folder for the modules of parties. */
export function partyFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'linbp-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/**
 * A party without a GPU: waits `milliseconds` a unit, and gives a result of its own. `open` is run when a workload is
 * set up.
 */
export function fakeParty(folder: string, name: string, milliseconds: number, result: string, open = ''): PartyEntry {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(
    path,
    `export default { async open(work) {
      ${open};
      const run = (units) => new Promise((done) => setTimeout(done, ${milliseconds} * units));
      return { run, close() {}, async result() { ${result} } };
    } };`,
  );
  return { name, module: pathToFileURL(path).href, browser: false };
}
