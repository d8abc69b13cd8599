import { divergence } from '../finite.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Precision } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { ReferenceRun } from '../reference/run.js';
import { addModel } from './definition.js';
import type { ModelDefinition } from './definition.js';
import type { StateDict } from './definition.js';

/** Largest forward pass, in floating-point operations, that is repeated on the CPU to name a layer: about a second. */
const cheapFlops = 1e8;

/** Largest magnitude of each way of storing numbers. */
const largest: Readonly<Record<Precision, number>> = { f32: (2 - 2 ** -23) * 2 ** 127, f16: 65504 };

/** The first weight that is NaN, or that storing it makes infinite, in words; undefined where all are finite. */
export function nonFiniteWeight(
  weights: ReadonlyMap<string, { readonly data: ArrayLike<number> }>,
  precision: Precision = 'f32',
): string | undefined {
  // Half of the last place above the largest number still rounds to it.
  const limit = precision === 'f16' ? 65520 : 2 ** 128 - 2 ** 103;
  for (const [name, { data }] of weights)
    for (let i = 0; i < data.length; i++)
      if (!(Math.abs(data[i]!) < limit)) return `weight ${name}[${i}] is ${data[i]}`;
  return undefined;
}

/** Throws `diverged` naming the first weight that is infinite or NaN. */
export function expectFiniteWeights(weights: Parameters<typeof nonFiniteWeight>[0], model: string): void {
  const fault = nonFiniteWeight(weights);
  if (fault !== undefined) throw divergence(`the weights of ${model} are not finite`, fault, 'weights');
}

/**
 * Where the logits of an image stop being finite: the first weight, or the first layer of the forward pass in eval
 * mode, repeated in float64 with what float32 (or f16) cannot hold counted as infinite. Undefined where nothing is
 * found, or where the network is too large for that to be cheap.
 *
 * @param image [C, H, W]
 */
export function whereNonFinite(
  definition: ModelDefinition,
  weights: StateDict,
  image: ArrayLike<number>,
  precision: Precision = 'f32',
): string | undefined {
  const weight = nonFiniteWeight(weights);
  if (weight !== undefined) return weight;
  const graph = new Graph();
  const input = graph.input('images', [1, ...definition.input]);
  const network = addModel(graph, definition, input);
  const flops = graph.nodes.reduce((sum, node) => sum + opTable[node.op].flops(node as never), 0);
  if (flops > cheapFlops || image.length !== elementCount(definition.input)) return undefined;
  const run = new ReferenceRun(graph);
  for (const [name, tensor] of network.tensors) run.set(tensor, weights.get(name)!.data);
  run.set(input, image);
  for (const node of graph.nodes) {
    run.runNode(node);
    for (const output of node.outputs) {
      if (output.dtype === 'u32') continue;
      const values = run.get(output);
      for (let i = 0; i < values.length; i++)
        if (!(Math.abs(values[i]!) <= largest[precision]))
          return (
            `layer ${node.layer || node.op} is the first whose ` + `output is not finite in ${precision} (${values[i]})`
          );
    }
  }
  return undefined;
}
