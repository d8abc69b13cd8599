import type { Graph } from '../../graph/graph.js';
import type { Tensor } from '../../graph/types.js';
import type { DispatchSchedule } from '../../plan/schedule.js';
import { differenceFrom, usualTolerance } from '../compare.js';
import { ReferenceExecutor } from '../referenceExecutor.js';
import type { CompileOptions, Executor } from '../types.js';
import type { Feeds } from './ops.js';

/** What a test needs of a compiled graph. */
export type ProbeProgram = Pick<Executor, 'write' | 'run' | 'read' | 'readU32'> & Disposable;

/** The compiler under test. */
export interface Compiler {
  compile(graph: Graph, options: CompileOptions): Promise<ProbeProgram>;
  /** Chooses kernels without compiling them. */
  schedule(graph: Graph, options: CompileOptions): Promise<DispatchSchedule>;
}

/** A tensor that differs from the float64 reference, and by how much, relative to its norm. */
export interface Difference {
  readonly tensor: Tensor;
  readonly error: number;
}

/** Runs a graph on a device and compares its outputs and states with the reference, in the order of its nodes. */
export async function firstDifference(
  graph: Graph,
  feeds: Feeds,
  compiler: Compiler,
  options: CompileOptions,
  allowed = usualTolerance,
): Promise<Difference | undefined> {
  using program = await compiler.compile(graph, { ...options, untested: true });
  const reference = new ReferenceExecutor(graph);
  const both = [program, reference] as const;
  for (const [tensor, data] of feeds) for (const each of both) each.write(tensor, data);
  await Promise.all(both.map((each) => each.run([{ segment: 'main' }])));
  const states = graph.tensors.filter(({ kind }) => kind === 'state');
  for (const tensor of [...graph.outputs.values(), ...states]) {
    const error = await differenceFrom(reference, program, tensor, allowed);
    if (!(error <= allowed)) return { tensor, error };
  }
  return undefined;
}
