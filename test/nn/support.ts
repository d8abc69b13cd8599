import { Graph } from '../../src/graph/graph.js';
import type { Tensor } from '../../src/graph/types.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { tensorAsFloat32 } from '../../src/io/safetensors.js';
import { addModel, describeModel, isBuffer } from '../../src/nn/definition.js';
import type { ModelDefinition, ModelInGraph } from '../../src/nn/definition.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { sharedDevice } from '../support/device.js';
import { outputGradients } from '../support/networks.js';
import type { LoadedFile } from '../support/tensors.js';

export interface NetworkProblem {
  readonly definition: ModelDefinition;
  readonly batch: number;
  readonly rule: string;
  readonly loss: 'mean' | 'sum';
  /** Batch statistics and running statistics that move. */
  readonly training?: boolean;
  /** Only the input gradient. */
  readonly inputOnly?: boolean;
}

/** A network with its loss and gradients; outputs `logits`, `loss`, `grad.input` and `grad.<parameter>`. */
export interface NetworkGraph {
  readonly graph: Graph;
  readonly images: Tensor;
  readonly labels: Tensor;
  readonly network: ModelInGraph;
}

export function networkGraph({
  definition,
  batch,
  rule,
  loss: reduction,
  training = false,
  inputOnly = false,
}: NetworkProblem): NetworkGraph {
  const graph = new Graph();
  const images = graph.input('images', [batch, ...definition.input]);
  const labels = graph.input('labels', [batch], 'u32');
  const network = addModel(graph, definition, images, { training, updateStatistics: training });
  const specs = inputOnly ? [] : describeModel(definition).layout.specs.filter((spec) => !isBuffer(spec));
  outputGradients(graph, definition, {
    ...{ images, labels, network, rule },
    scale: reduction === 'mean' ? 1 / batch : 1,
    parameters: specs.map(({ name }) => [name, network.tensors.get(name)!] as const),
  });
  return { graph, images, labels, network };
}

/** Formula weights of a network, in the layout of its two stores. */
export function formulaStores(definition: ModelDefinition): { parameters: Float32Array; buffers: Float32Array } {
  const { layout } = describeModel(definition);
  const [parameters, buffers] = [new Float32Array(layout.parameterElements), new Float32Array(layout.bufferElements)];
  for (const spec of layout.specs)
    (isBuffer(spec) ? buffers : parameters).set(
      formulaTensor(spec.name, spec.shape, spec.kind),
      layout.offsets.get(spec.name)!,
    );
  return { parameters, buffers };
}

/** The weights of a file, in the layout of a network's two stores. */
export function storesOf(
  definition: ModelDefinition,
  file: LoadedFile,
): { parameters: Float32Array; buffers: Float32Array } {
  const { layout } = describeModel(definition);
  const [parameters, buffers] = [new Float32Array(layout.parameterElements), new Float32Array(layout.bufferElements)];
  for (const spec of layout.specs) {
    (isBuffer(spec) ? buffers : parameters).set(
      tensorAsFloat32(file.tensors.get(spec.name)!),
      layout.offsets.get(spec.name)!,
    );
  }
  return { parameters, buffers };
}

/** Values by output name, and by state-dict key what the running statistics are after the run. */
export type NetworkValues = ReadonlyMap<string, ArrayLike<number>>;

export interface NetworkInputs {
  readonly images: Float32Array | Float64Array;
  readonly labels: Uint32Array;
  readonly parameters: Float32Array;
  readonly buffers: Float32Array;
}

const statistics = ({ network }: NetworkGraph, definition: ModelDefinition): [string, Tensor][] =>
  describeModel(definition)
    .layout.specs.filter(isBuffer)
    .map((spec) => [`after.${spec.name}`, network.tensors.get(spec.name)!]);

/** Runs a network's gradients on the shared device. */
export async function runOnDevice(problem: NetworkProblem, inputs: NetworkInputs, fuse = true): Promise<NetworkValues> {
  const built = networkGraph(problem);
  const { graph, images, labels, network } = built;
  using program = await Program.compile(graph, { device: await sharedDevice(), fuse });
  program.write(images, Float32Array.from(inputs.images));
  program.write(labels, inputs.labels);
  program.write(network.parameters, inputs.parameters);
  if (network.buffers !== undefined) program.write(network.buffers, inputs.buffers);
  await program.run([{ segment: 'main' }]);
  const values = new Map<string, ArrayLike<number>>();
  for (const name of graph.outputs.keys()) values.set(name, await program.read(name));
  if (problem.training === true)
    for (const [name, tensor] of statistics(built, problem.definition)) values.set(name, await program.read(tensor));
  return values;
}

/** Runs a network's gradients in the float64 reference. */
export function runInReference(problem: NetworkProblem, inputs: NetworkInputs): NetworkValues {
  const built = networkGraph(problem);
  const { graph, images, labels, network } = built;
  const run = new ReferenceRun(graph);
  run.set(images, inputs.images);
  run.set(labels, inputs.labels);
  run.set(network.parameters, inputs.parameters);
  if (network.buffers !== undefined) run.set(network.buffers, inputs.buffers);
  run.run();
  const values = new Map<string, ArrayLike<number>>(
    [...graph.outputs].map(([name, tensor]) => [name, run.get(tensor)]),
  );
  if (problem.training === true)
    for (const [name, tensor] of statistics(built, problem.definition)) values.set(name, run.get(tensor));
  return values;
}

export const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
