import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import type { Graph } from '../../src/graph/graph.js';
import type { Node, Tensor } from '../../src/graph/types.js';
import { tensorAsFloat32, tensorAsInt32 } from '../../src/io/safetensors.js';
import { ReferenceRun } from '../../src/reference/run.js';
import type { LoadedFile } from '../support/tensors.js';

/** ||a - b|| / ||b||, or ||a - b|| where b vanishes. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).to.equal(b.length);
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference) / (Math.sqrt(norm) || 1);
}

/** The golden files' inputs: `low + (high - low) u` of a key, rounded to float32 as they were stored. */
export function formula(key: string, count: number, low: number, high: number): Float64Array {
  return formulaUniforms(key, count).map((u) => Math.fround(low + (high - low) * u));
}

export function noise(count: number, low = -1, high = 1): Float64Array {
  return Float64Array.from({ length: count }, () => low + (high - low) * Math.random());
}

/** Runs a graph's main segment with values for its inputs. */
export function evaluate(graph: Graph, values: readonly (readonly [Tensor, ArrayLike<number>])[]): ReferenceRun {
  const run = new ReferenceRun(graph);
  for (const [tensor, data] of values) run.set(tensor, data);
  run.run();
  return run;
}

export const opNames = (nodes: readonly Node[]): string[] => nodes.map((node) => node.op);

/** The error that `body` throws; fails if it throws none or one of another type. */
export function errorOf(body: () => unknown): LinbpError {
  try {
    body();
  } catch (error) {
    if (error instanceof LinbpError) return error;
    throw error;
  }
  throw new Error('expected an error');
}

/** A golden tensor's values. */
export function goldenValues(file: LoadedFile, key: string): Float32Array | Int32Array {
  const tensor = file.tensors.get(key);
  if (tensor === undefined) throw new Error(`${file.source} has no ${key}`);
  return tensor.dtype === 'F32' ? tensorAsFloat32(tensor) : tensorAsInt32(tensor);
}
