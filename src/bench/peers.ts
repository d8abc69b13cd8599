import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isThere } from '../io/folders.js';
import type { PartyEntry } from './party.js';
import { throttlingWanted } from '../runtime/polling.js';
import { findTorch } from './torch.js';
import { beside } from './workloads.js';

/** linbp, the yardstick of every comparison. */
export const ownParty: PartyEntry = {
  name: 'linbp',
  module: pathToFileURL(beside('linbpParty.js')).href,
  browser: false,
};

/**
 * Of each party, whether its waits for the device go through throttled polling. A party that is no library for
 * browsers does not poll.
 */
export const throttledParties = (parties: readonly PartyEntry[]): Readonly<Record<string, boolean>> =>
  Object.fromEntries(parties.map((entry) => [entry.name, throttlingWanted() && (entry === ownParty || entry.browser)]));

interface Peer {
  readonly name: string;
  readonly file: string;
  readonly needs: string;
}

const known: readonly Peer[] = [
  { name: 'tfjs webgpu', file: 'tfjs.mjs?backend=webgpu', needs: '@tensorflow/tfjs-backend-webgpu' },
  { name: 'tfjs wasm', file: 'tfjs.mjs?backend=wasm', needs: '@tensorflow/tfjs-backend-wasm' },
  { name: 'jax-js webgpu', file: 'jaxjs.mjs?backend=webgpu', needs: '@jax-js/jax' },
  { name: 'gpu.js webgpu', file: 'gpujs.mjs?backend=webgpu', needs: 'gpu.js' },
  { name: 'jax-js wasm', file: 'jaxjs.mjs?backend=wasm', needs: '@jax-js/jax' },
  { name: 'onnxruntime webgpu', file: 'onnx.mjs?backend=webgpu', needs: 'onnxruntime-web' },
  { name: 'onnxruntime wasm', file: 'onnx.mjs?backend=wasm', needs: 'onnxruntime-web' },
];

/** What {@link installedPeers} finds. */
export interface Peers {
  readonly entries: readonly PartyEntry[];
  /** Versions of their packages. */
  readonly versions: Readonly<Record<string, string>>;
  /** PyTorch among the entries, or in words why it is not. */
  readonly torch: PartyEntry | string;
}

/**
 * The peers installed in a folder like `benchmarks/` or in the project around it, and the versions of their packages.
 */
export async function installedPeers(folder: string): Promise<Peers> {
  const version = async (name: string): Promise<string | undefined> => {
    for (const place of [folder, join(folder, '..')]) {
      const file = join(place, 'node_modules', name, 'package.json');
      if (await isThere(file)) return (JSON.parse(await readFile(file, 'utf8')) as { version: string }).version;
    }
    return undefined;
  };
  const found = await Promise.all(known.map(async (peer) => ({ ...peer, version: await version(peer.needs) })));
  const there = found.filter((peer) => peer.version !== undefined);
  const url = (file: string): string => {
    const [path, query] = file.split('?');
    return `${pathToFileURL(join(folder, 'peers', path!)).href}?${query}`;
  };
  const entries = there.map(({ name, file }) => ({ name, module: url(file), browser: true }));
  const versions = Object.fromEntries(there.map(({ needs, version }) => [needs, version!]));
  if (!(await isThere(join(folder, 'peers/pytorch.mjs'))))
    return { entries, versions, torch: `${folder} has no peers/pytorch.mjs` };
  const python = findTorch();
  if (typeof python === 'string') return { entries, versions, torch: python };
  const torch = {
    name: `PyTorch ${python.device}`,
    module: url(`pytorch.mjs?device=${python.device}`),
    browser: false,
  };
  const card = python.card === undefined ? '' : ` on ${python.card}`;
  return { entries: [...entries, torch], versions: { ...versions, torch: `${python.version}${card}` }, torch };
}
