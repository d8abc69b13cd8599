import type { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import { decodeHalf, encodeHalf } from '../io/half.js';
import type { Tensor } from '../graph/types.js';
import { rootOf } from '../plan/schedule.js';
import { ReferenceRun } from '../reference/run.js';
import type { StepRow } from '../reference/run.js';
import { distance } from './compare.js';
import { Program } from './program.js';
import type { CompileOptions, SegmentRun } from './program.js';

/** What debug mode found out about one result of one kernel. */
export interface DebugEntry {
  readonly kernel: string;
  readonly variant: string;
  readonly layer: string;
  readonly op: string;
  readonly tensor: string;
  /**
   * ||device - reference|| / ||reference|| when the kernel gets the reference's own inputs; absolute where the
   * reference is zero, and infinite where something is not a number.
   */
  readonly error: number;
  /** NaN or infinite results that the reference does not have. */
  readonly nonFinite: number;
}

/** A result beside the reference's. */
async function compareResult(
  program: Program,
  reference: ReferenceRun,
  tensor: Tensor,
): Promise<Pick<DebugEntry, 'tensor' | 'error' | 'nonFinite'>> {
  const actual = tensor.dtype === 'u32' ? await program.readU32(tensor) : await program.read(tensor);
  const expected = reference.get(tensor);
  let nonFinite = 0;
  for (let i = 0; i < actual.length; i++)
    if (!Number.isFinite(actual[i]!) && Number.isFinite(expected[i]!)) nonFinite += 1;
  return { tensor: tensor.name, error: distance(actual, expected), nonFinite };
}

/**
 * Debug mode: runs the segments kernel by kernel, one submit each, every kernel on the float64 reference's inputs
 * rounded as they are stored, and compares every result with the reference. No memory is shared between values, so
 * all results are kept. `feeds` sets inputs, parameters and states; the rest begins with zeros.
 */
export async function debugGraph(
  graph: Graph,
  feeds: ReadonlyMap<Tensor, Float32Array | Uint32Array>,
  options: CompileOptions & { readonly segments?: readonly string[]; readonly step?: StepRow },
): Promise<DebugEntry[]> {
  const { segments = ['main'], step, ...compiling } = options;
  using program = await Program.compile(graph, { ...compiling, aliasing: false, untested: true });
  const reference = new ReferenceRun(graph);
  for (const [tensor, data] of feeds) reference.set(tensor, data);
  if (step !== undefined) {
    program.steps.set(0, step);
    program.uploadSteps();
  }
  const push = (tensor: Tensor): void => {
    // A window of 16-bit elements may begin inside a word, its root never does.
    const whole = tensor.dtype === 'f16' ? rootOf(tensor) : tensor;
    const values = reference.get(whole);
    if (whole.dtype === 'f16') values.set(decodeHalf(new Uint8Array(encodeHalf(values).buffer)));
    program.write(whole, whole.dtype === 'u32' ? Uint32Array.from(values) : Float32Array.from(values));
  };
  const entries: DebugEntry[] = [];
  for (const segment of segments) {
    for (const group of program.schedule.groups.filter((each) => each.anchor.segment === segment)) {
      const members = [group.anchor, ...group.followers];
      const inside = new Set(members.flatMap((node) => node.outputs));
      const mutated = new Set(members.flatMap((node) => node.mutates.map((slot) => node.inputs[slot]!)));
      const inputs = members.flatMap((node) => node.inputs.filter((input) => !inside.has(input)));
      const isValue = (tensor: Tensor): boolean => rootOf(tensor).kind === 'value';
      for (const input of inputs) if (!isValue(input)) push(input);
      program.derive();
      // last, because what is derived on the device gives way to the reference's numbers
      for (const input of inputs) if (isValue(input)) push(input);
      for (const node of members) reference.runNode(node, step);
      // those in front are derived from weights, for this group and others
      const dispatches = program.dispatches.filter(({ source }) => source.group === group);
      if (dispatches.length === 0) continue;
      for (const dispatch of dispatches) program.submitOne(dispatch, 0);
      const last = members.at(-1)!.outputs[0];
      const results = new Set([
        ...members.flatMap((node) => node.outputs.slice(1)),
        ...group.kept,
        ...(last === undefined ? [] : [last]),
        ...mutated,
      ]);
      const { kernel, variant } = (dispatches.find(({ source }) => source.segment === segment) ?? dispatches[0]!)
        .source;
      const { layer, op } = group.anchor;
      for (const tensor of results)
        entries.push({ ...{ kernel, variant, layer, op }, ...(await compareResult(program, reference, tensor)) });
    }
  }
  return entries;
}

const quietNaN = 0x7fc00000;
const quietHalfNaNs = 0x7e007e00;

/**
 * Runs segments with one submit per dispatch, filling the arenas with NaN first and every value's memory as soon as
 * it is dead. A program whose plan is sound gives the same results as {@link Program.run}; one that reads freed
 * memory gives NaN.
 */
export async function runPoisoned(program: Program, runs: readonly SegmentRun[]): Promise<void> {
  const { plan, schedule } = program;
  const fill = (tensor: Tensor): void => {
    const { buffer, offset, bytes } = program.location(tensor);
    program.device.write(
      buffer,
      offset,
      new Uint32Array(bytes / 4).fill(tensor.dtype === 'f16' ? quietHalfNaNs : quietNaN),
    );
  };
  for (const tensor of plan.placements.keys()) if (plan.lifetimes.get(tensor)!.first > 0) fill(tensor);
  program.derive();
  const iterations = runs.flatMap(({ segment, repeat = 1, row = 0 }) =>
    Array.from({ length: repeat }, (_, iteration) => ({ segment, row: row + iteration })),
  );
  for (const { segment, row } of iterations) {
    for (const [index, dispatch] of program.dispatches.entries()) {
      if (dispatch.source.segment !== segment) continue;
      const fresh = dispatch.source.operands
        .filter((operand) => operand.access === 'write')
        .map((operand) => rootOf(operand.tensor));
      for (const tensor of fresh)
        if (plan.lifetimes.get(tensor)?.first === index && elementCount(tensor.shape) > 0) fill(tensor);
      program.submitOne(dispatch, row);
      for (const [tensor, life] of plan.lifetimes)
        if (life.last === index && index < schedule.dispatches.length - 1) fill(tensor);
    }
  }
  await program.device.idle();
}
