import { expectFields, expectObject, expectStateDict } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { LinbpError, check } from '../errors.js';
import { Graph } from '../graph/graph.js';
import type { Node, OpName, Tensor } from '../graph/types.js';
import { NetBuilder } from '../nn/builder.js';
import { describeModel, positionTable } from '../nn/definition.js';
import type { ModelDefinition, StateDict } from '../nn/definition.js';
import type { Model } from '../nn/model.js';
import { expectFiniteWeights } from '../nn/nonFinite.js';
import { packageVersion } from '../version.js';
import { NodeExport } from './export/context.js';
import type { ExportScope } from './export/context.js';
import { nodeExporters } from './export/nodes.js';
import { ModelWriter } from './export/writer.js';
import { metadataKey, storedDescription } from './description.js';

/** Options of {@link exportOnnx}. */
export interface ExportOptions {
  /** The weights; those that came with the definition unless given. */
  readonly weights?: StateDict;
}

/** The forward pass for one batch. */
function forward(definition: ModelDefinition, batch: number) {
  const graph = new Graph();
  const keys = new Map<Tensor, string>();
  const net = new NetBuilder(
    graph,
    ({ name, shape }) => {
      const tensor = graph.parameter(name, shape);
      keys.set(tensor, name);
      return tensor;
    },
    { training: false },
  );
  const images = graph.input('input', [batch, ...definition.input]);
  const logits = definition.build(net, images);
  return { graph, keys, images, logits };
}

/** Nodes that the logits depend on. */
function needed(graph: Graph, logits: Tensor): readonly Node[] {
  const wanted = new Set<Tensor>([logits]);
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((output) => wanted.has(output))) continue;
    nodes.push(node);
    for (const input of node.inputs) wanted.add(input);
  }
  return nodes.reverse();
}

/** Two batches that tell sizes that hold the batch from all others. */
const [batch, otherBatch] = [2, 3];

function exportDefinition(definition: ModelDefinition, weights: StateDict): Uint8Array {
  expectStateDict(weights);
  expectFiniteWeights(weights, definition.name);
  const { graph, keys, images, logits } = forward(definition, batch);
  const values = new Map<Tensor, ArrayLike<number>>();
  for (const [tensor, data] of graph.initial) values.set(tensor, data);
  for (const [tensor, key] of keys) {
    const weight = weights.get(key);
    check(
      weight?.shape.join() === tensor.shape.join(),
      'bad-shape',
      `${definition.name} needs ${key} [${tensor.shape.join(', ')}], the weights have ` +
        `${weight === undefined ? 'none' : `[${weight.shape.join(', ')}]`}`,
      'weights',
    );
    values.set(tensor, weight.data);
  }
  const writer = new ModelWriter();
  const input = writer.reserve('input');
  const scope: ExportScope = {
    graph,
    twin: forward(definition, otherBatch).graph,
    writer,
    values,
    keys,
    names: new Map([[images, input]]),
    lines: new Map(),
    input,
    batch,
  };
  for (const node of needed(graph, logits)) {
    const at = new NodeExport(node, scope);
    const write = nodeExporters[node.op] as ((each: NodeExport<OpName>) => string | undefined) | undefined;
    if (write === undefined) throw at.refusal('ONNX has no operator for it');
    const name = write(at);
    if (name !== undefined) scope.names.set(node.outputs[0]!, name);
  }
  writer.output('logits', scope.names.get(logits)!);
  return writer.finish({
    name: definition.name,
    version: packageVersion(),
    input: [input, ['N', ...definition.input]],
    output: ['logits', ['N', definition.classes]],
    metadata: [{ key: metadataKey, value: storedDescription(positionTable(definition), definition.normalization) }],
  });
}

const isModel = (source: ModelDefinition | Model): source is Model => 'definition' in source;

/**
 * A network as an ONNX file of opset 17: input `input` [N, C, H, W] of pixels in [0, 1], output `logits` [N, K], the
 * batch open, in eval mode. Weights keep their state-dict keys. Names, stages and kinds of the activations and the
 * presets go along as metadata, so that {@link importOnnx} gives the same positions.
 *
 * @param source a definition, with the weights that came with it or those of the options; or a model, whose weights are
 *   read back from its device
 * @throws LinbpError `bad-argument` where there are no weights, `bad-shape` where they do not fit, `diverged` where one
 *   is infinite, NaN or too large for float32, `unsupported` naming the layer with an op that ONNX has no form for
 */
export function exportOnnx(source: ModelDefinition, options?: ExportOptions): Uint8Array;
export function exportOnnx(source: Model, options?: ExportOptions): Promise<Uint8Array>;
export function exportOnnx(
  source: ModelDefinition | Model,
  options: ExportOptions = {},
): Uint8Array | Promise<Uint8Array> {
  expectFields(options, { weights: true } satisfies FieldNames<ExportOptions>);
  expectObject(source, 'model');
  if (isModel(source)) {
    const { definition } = source;
    if (options.weights !== undefined) return Promise.resolve(exportDefinition(definition, options.weights));
    return source.stateDict().then((weights) => exportDefinition(definition, weights));
  }
  const weights = options.weights ?? source.weights;
  if (weights === undefined)
    throw new LinbpError('bad-argument', `${source.name} comes without weights; give them as options.weights`, {
      field: 'weights',
    });
  describeModel(source);
  return exportDefinition(source, weights);
}
