import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { addModel, positionTable } from '../../src/nn/definition.js';
import type { ModelDefinition, ModelInGraph } from '../../src/nn/definition.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';

/** A network with its loss and gradients in one graph, and formula weights for it. */
export interface GradientGraph {
  readonly graph: Graph;
  readonly images: Tensor;
  readonly labels: Tensor;
  readonly network: ModelInGraph;
  /** Values of every input and parameter. */
  readonly feeds: Map<Tensor, Float32Array | Uint32Array>;
}

/**
 * Adds the cross entropy of a network and its gradients, as outputs `logits`, `loss`, `grad.input` and
 * `grad.<parameter>`.
 */
export function outputGradients(
  graph: Graph,
  definition: ModelDefinition,
  of: Pick<GradientGraph, 'images' | 'labels' | 'network'> & {
    readonly rule: string;
    readonly scale: number;
    readonly parameters: readonly (readonly [name: string, tensor: Tensor])[];
  },
): void {
  const { images, labels, network, rule, scale, parameters } = of;
  const loss = graph.scope({ layer: 'loss' }, () =>
    graph.one('loss', [network.logits, labels], { kind: 'crossEntropy' }),
  );
  const found = gradients(graph, {
    loss,
    scale,
    targets: [images, ...parameters.map(([, tensor]) => tensor)],
    rules: resolveRules(parseRules(rule), positionTable(definition)),
  });
  graph.output('logits', network.logits);
  graph.output('loss', loss);
  graph.output('grad.input', found.get(images)!);
  for (const [name, tensor] of parameters) graph.output(`grad.${name}`, found.get(tensor)!);
}

/**
 * Builds the graph of the mean cross entropy's gradients (or of `scale` times the sum), with respect to the images
 * only (`attack`) or to images and parameters (`train`). Outputs: `logits`, `loss`, `grad.input`, `grad.<parameter>`.
 */
export function gradientGraph(
  definition: ModelDefinition,
  options: { batch: number; rule: string; what: 'attack' | 'train'; training?: boolean; scale?: number },
): GradientGraph {
  const { batch, rule, what, scale = 1 / batch } = options;
  const graph = new Graph();
  const images = graph.input('images', [batch, ...definition.input]);
  const labels = graph.input('labels', [batch], 'u32');
  const network = addModel(graph, definition, images, { training: options.training ?? false });
  const parameters = [...network.tensors].filter(([, tensor]) => tensor.kind === 'parameter');
  outputGradients(graph, definition, {
    ...{ images, labels, network, rule, scale },
    parameters: what === 'attack' ? [] : parameters,
  });
  const feeds = new Map<Tensor, Float32Array | Uint32Array>([
    [images, formulaTensor('input', images.shape, 'input')],
    [labels, Uint32Array.from({ length: batch }, (_, n) => (7 * n + 3) % 10)],
  ]);
  feeds.set(network.parameters, new Float32Array(elementCount(network.parameters.shape)));
  for (const tensor of network.tensors.values()) {
    if (tensor.kind !== 'parameter') continue;
    feeds
      .get(network.parameters)!
      .set(
        formulaTensor(tensor.name, tensor.shape, tensor.shape.length === 1 ? 'bias' : 'weight'),
        tensor.view!.offset,
      );
  }
  return { graph, images, labels, network, feeds };
}
