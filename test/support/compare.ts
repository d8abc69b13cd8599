import type { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import type { KernelChoices } from '../../src/kernels/problem.js';
import { distance } from '../../src/program/compare.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { sharedDevice } from './device.js';

/** Relative 2-norm distance, ||actual - expected|| / ||expected||; infinite where their lengths differ. */
export const relativeError = (actual: ArrayLike<number>, expected: ArrayLike<number>): number =>
  actual.length === expected.length ? distance(actual, expected) : Infinity;

/** Fresh numbers in [-1, 1), different in every run of the tests. */
export function randomArray(count: number): Float32Array {
  return Float32Array.from({ length: count }, () => 2 * Math.random() - 1);
}

export interface Comparison {
  readonly name: string;
  readonly error: number;
}

/**
 * Runs a graph's `main` segment on the device and on the float64 reference with the same values of its inputs,
 * parameters and states, and returns the relative error of every output. Unset tensors get fresh random numbers.
 */
export async function compareGraph(
  graph: Graph,
  feeds: ReadonlyMap<Tensor, Float32Array | Uint32Array>,
  options: { fuse?: boolean; choices?: KernelChoices } = {},
): Promise<Comparison[]> {
  const device = await sharedDevice();
  using program = await Program.compile(graph, {
    device,
    fuse: options.fuse ?? true,
    ...(options.choices !== undefined && { choices: options.choices }),
  });
  const reference = new ReferenceRun(graph);
  for (const tensor of graph.tensors) {
    if (tensor.kind === 'value' || tensor.view !== undefined || graph.initial.has(tensor)) continue;
    const data = feeds.get(tensor) ?? randomArray(elementCount(tensor.shape));
    program.write(tensor, data);
    reference.set(tensor, data);
  }
  await program.run([{ segment: 'main' }]);
  reference.run('main');
  const results: Comparison[] = [];
  for (const [name, tensor] of graph.outputs) {
    const actual = tensor.dtype === 'u32' ? await program.readU32(tensor) : await program.read(tensor);
    results.push({ name, error: relativeError(actual, reference.get(tensor)) });
  }
  return results;
}
