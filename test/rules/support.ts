import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Tensor } from '../../src/graph/types.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { addModel, describeModel, isBuffer, positionTable } from '../../src/nn/definition.js';
import type { ModelDefinition, ModelInGraph } from '../../src/nn/definition.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';

/** A small residual network: stem, overlapping max-pool, two stages of two blocks with two ReLUs inside each branch. */
export const tinyResnet: ModelDefinition = {
  name: 'tiny-resnet',
  input: [2, 8, 8],
  classes: 4,
  presets: { default: ['layer2.1.relu1', 'layer2.1.relu2', 'layer2.1.relu3'] },
  build(net, images) {
    const convBn = (name: string, k: number, input: Tensor, width: number, stride = 1): Tensor =>
      net.batchNorm(
        `${name}.bn${k}`,
        net.conv(`${name}.conv${k}`, input, width, 3, { stride, padding: 1, bias: false }),
      );
    let x = net.at({ kind: 'stem' }, () => net.relu('relu', convBn('stem', 1, images, 4)));
    x = net.maxPool('maxpool', x, 3, { stride: 2, padding: 1 });
    for (const stage of [1, 2]) {
      for (const block of [0, 1]) {
        const [name, stride, width] = [`layer${stage}.${block}`, stage === 2 && block === 0 ? 2 : 1, 4 * stage];
        x = net.at({ stage: `layer${stage}`, block, kind: 'branch' }, () => {
          const branch = net.branch(name, x, (input) => {
            const y = net.relu(`${name}.relu1`, convBn(name, 1, input, width, stride));
            return convBn(name, 3, net.relu(`${name}.relu2`, convBn(name, 2, y, width)), width);
          });
          const shortcut = stride === 1 ? x : net.conv(`${name}.downsample`, x, width, 1, { stride, bias: false });
          return net.at({ kind: 'post-addition' }, () =>
            net.relu(`${name}.relu3`, net.add(`${name}.add`, branch, shortcut)),
          );
        });
      }
    }
    return net.linear('fc', net.globalAvgPool('avgpool', x), 4);
  },
};

/** A network with the gradient of the summed cross entropy under one rule, and formula weights for it. */
export interface RuleGraph {
  readonly graph: Graph;
  readonly network: ModelInGraph;
  readonly images: Tensor;
  readonly labels: Tensor;
  /** What the rule let be observed, by name. */
  readonly observed: ReadonlyMap<string, Tensor>;
  /** The gradient of the images, or of the tensor `at` chooses. */
  readonly gradient: Tensor;
  readonly feeds: Map<Tensor, Float32Array | Uint32Array>;
}

/** Outputs of the graph: `logits`, `gradient`, and what is observed. */
export function ruleGraph(
  definition: ModelDefinition,
  options: { rule: string; batch: number; at?: (network: ModelInGraph) => Tensor; training?: boolean },
): RuleGraph {
  const { rule, batch } = options;
  const graph = new Graph();
  const images = graph.input('images', [batch, ...definition.input]);
  const labels = graph.input('labels', [batch], 'u32');
  const network = addModel(graph, definition, images, { training: options.training ?? false });
  const loss = graph.one('loss', [network.logits, labels], { kind: 'crossEntropy' });
  const observed = new Map<string, Tensor>();
  const target = options.at?.(network) ?? images;
  const gradient = gradients(graph, {
    loss,
    scale: 1,
    targets: [target],
    rules: resolveRules(parseRules(rule), positionTable(definition)),
    observe: (name, value) => void observed.set(name, value),
  }).get(target)!;
  graph.output('logits', network.logits);
  graph.output('gradient', gradient);
  for (const [name, tensor] of observed) graph.output(name, tensor);
  const feeds = new Map<Tensor, Float32Array | Uint32Array>([
    [images, formulaTensor('input', images.shape, 'input')],
    [labels, Uint32Array.from({ length: batch }, (_, n) => (7 * n + 3) % definition.classes)],
  ]);
  for (const store of [network.parameters, network.buffers])
    if (store !== undefined) feeds.set(store, new Float32Array(elementCount(store.shape)));
  for (const spec of describeModel(definition).layout.specs) {
    const store = isBuffer(spec) ? network.buffers! : network.parameters;
    feeds
      .get(store)!
      .set(formulaTensor(spec.name, spec.shape, spec.kind), network.tensors.get(spec.name)!.view!.offset);
  }
  return { graph, network, images, labels, observed, gradient, feeds };
}
