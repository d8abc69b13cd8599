import { readFileSync } from 'node:fs';
import { decodeSafetensors } from '../../src/io/safetensors.js';
import type { SafetensorsFile, SafetensorsTensor } from '../../src/io/safetensors.js';

/** A safetensors file in memory. */
export type LoadedFile = SafetensorsFile<SafetensorsTensor>;

/** A safetensors file, all of it, at once. */
export const loadTensors = (path: string): LoadedFile => decodeSafetensors(readFileSync(path), path);
