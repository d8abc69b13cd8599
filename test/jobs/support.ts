import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'mocha';
import type { Job } from '../../src/jobs/description.js';
import type { JobStore } from '../../src/jobs/store.js';

/** A folder of its own for the tests of a file, removed afterwards. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'linbp-jobs-test-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store in memory. */
export function memoryStore(): JobStore & { readonly content: Map<string, Uint8Array> } {
  const content = new Map<string, Uint8Array>();
  return {
    content,
    shown: 'memory',
    read: async (name) => content.get(name),
    write: async (name, bytes) => void content.set(name, Uint8Array.from(bytes)),
    async create(name, bytes) {
      if (content.has(name)) return false;
      content.set(name, Uint8Array.from(bytes));
      return true;
    },
    list: async (folder) =>
      [...content.keys()].filter((name) => name.startsWith(`${folder}/`)).map((name) => name.slice(folder.length + 1)),
    remove: async (name) => void content.delete(name),
    close: () => undefined,
  };
}

/** Bytes that no test has had before. */
export const freshBytes = (count = 100): Uint8Array => new Uint8Array(randomBytes(count));

/** A job of some task. */
export const someJob = (from = 0, to = 1): Job => ({ kind: 'stub', task: 'ab'.repeat(32), from, to });

/** The adapter of results that nothing computed. */
export const noAdapter = { vendor: 'test', architecture: 'none', description: 'none', software: true };
