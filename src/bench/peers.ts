import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PartyEntry } from './party.js';
import { throttlingWanted } from '../runtime/polling.js';
import { beside } from './workloads.js';

/** linbp, the yardstick of every comparison. */
export const ownParty: PartyEntry = { name: 'linbp', module: pathToFileURL(beside('linbpParty.js')).href, browser: false };

/** Of each party, whether its waits for the device go through throttled polling. A party that is no library for browsers does not poll. */
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

/** The Python that may have PyTorch; peers/pytorch.mjs starts the same one. */
const python = process.env['LINBP_PYTHON'] ?? 'python3';

/** The version of PyTorch there, without loading it. */
function torchVersion(): string | undefined {
  const { status, stdout } = spawnSync(python, ['-c', 'from importlib.metadata import version; print(version("torch"))'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** The peers installed in a folder like `benchmarks/` or in the project around it, and the versions of their packages. */
export function installedPeers(folder: string): { readonly entries: readonly PartyEntry[]; readonly versions: Readonly<Record<string, string>> } {
  const version = (name: string): string | undefined => {
    const file = [folder, join(folder, '..')].map((place) => join(place, 'node_modules', name, 'package.json')).find(existsSync);
    return file !== undefined ? (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version : undefined;
  };
  const torch = torchVersion();
  const there = known.filter(({ needs }) => version(needs) !== undefined);
  const url = (file: string): string => {
    const [path, query] = file.split('?');
    return `${pathToFileURL(join(folder, 'peers', path!)).href}?${query}`;
  };
  const entries = there.map(({ name, file }) => ({ name, module: url(file), browser: true }));
  const versions = Object.fromEntries(there.map(({ needs }) => [needs, version(needs)!]));
  if (torch === undefined || !existsSync(join(folder, 'peers'))) return { entries, versions };
  return { entries: [...entries, { name: 'PyTorch cpu', module: url('pytorch.mjs?'), browser: false }], versions: { ...versions, torch } };
}
