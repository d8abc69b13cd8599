import type { Graph } from '../../graph/graph.js';
import type { Tensor } from '../../graph/types.js';
import { ReferenceRun } from '../../reference/run.js';
import type { CompileOptions, SegmentRun } from '../types.js';
import type { Schedule } from '../../plan/schedule.js';
import type { Feeds } from './ops.js';

/** What a test needs of a compiled graph. */
export interface ProbeProgram extends Disposable {
  write(tensor: Tensor, data: Float32Array | Uint32Array): void;
  run(runs: readonly SegmentRun[]): Promise<void>;
  read(tensor: Tensor): Promise<Float32Array>;
  readU32(tensor: Tensor): Promise<Uint32Array>;
}

/** The compiler under test. */
export interface Compiler {
  compile(graph: Graph, options: CompileOptions): Promise<ProbeProgram>;
  /** Chooses kernels without compiling them. */
  schedule(graph: Graph, options: CompileOptions): Promise<Schedule>;
}

/** A tensor that differs from the float64 reference, and by how much, relative to its norm. */
export interface Difference {
  readonly tensor: Tensor;
  readonly error: number;
}

/** Largest relative distance from the reference that results may have. */
const tolerance = 1e-5;

function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  const error = Math.sqrt(norm === 0 ? difference : difference / norm);
  return Number.isFinite(error) ? error : Infinity;
}

/** Largest part of the bits of packed words that may differ: a number next to zero may round to either side. */
const bitTolerance = 1e-3;

function differingBits(actual: Uint32Array, expected: ArrayLike<number>): number {
  let bits = 0;
  for (let i = 0; i < actual.length; i++)
    for (let rest = (actual[i]! ^ expected[i]!) >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) bits += 1;
  return bits / (32 * actual.length);
}

/** Runs a graph on a device and compares its outputs and states with the reference, in the order of its nodes. */
export async function firstDifference(
  graph: Graph,
  feeds: Feeds,
  compiler: Compiler,
  options: CompileOptions,
  allowed = tolerance,
): Promise<Difference | undefined> {
  using program = await compiler.compile(graph, { ...options, untested: true });
  const reference = new ReferenceRun(graph);
  for (const [tensor, data] of feeds) {
    program.write(tensor, data);
    reference.set(tensor, data);
  }
  const running = program.run([{ segment: 'main' }]);
  reference.run();
  await running;
  const states = graph.tensors.filter(({ kind }) => kind === 'state');
  for (const tensor of [...graph.outputs.values(), ...states]) {
    const expected = reference.get(tensor);
    const error =
      tensor.dtype === 'u32'
        ? (differingBits(await program.readU32(tensor), expected) / bitTolerance) * allowed
        : distance(await program.read(tensor), expected);
    if (!(error <= allowed)) return { tensor, error };
  }
  return undefined;
}
