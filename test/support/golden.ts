import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadTensors } from './tensors.js';
import type { LoadedFile } from './tensors.js';

/** Folder of the golden values. Tests run from `dist/test`, the fixtures stay in the source tree. */
export const goldenFolder: string = fileURLToPath(new URL('../../../test/fixtures/golden/', import.meta.url));

/** Golden tensors by file name without extension, for instance `lenet5.eval`. */
export function loadGolden(name: string): LoadedFile {
  return loadTensors(`${goldenFolder}${name}.safetensors`);
}

/** A golden JSON file by name without extension, for instance `ops` or `keys/mlp.keys`. The caller states its type. */
export function loadGoldenJson<T>(name: string): T {
  return JSON.parse(readFileSync(`${goldenFolder}${name}.json`, 'utf8')) as T;
}
