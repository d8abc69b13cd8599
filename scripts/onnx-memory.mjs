/**
 * What plans of transformers hold, without a device: ViT-B/16 and ConvNeXt-T, forward alone and with the gradient of
 * the images, with the maps of attention whole and in slices.
 *
 *     node scripts/onnx-memory.mjs [--models vit_b_16,convnext_tiny] [--batch 8] [--software] [--top 6]
 */
import { parseArgs } from 'node:util';
import { gradients } from '../dist/src/autodiff/gradients.js';
import { Graph } from '../dist/src/graph/graph.js';
import { byteLength } from '../dist/src/graph/types.js';
import { addModel, positionTable } from '../dist/src/nn/definition.js';
import { attentionRegions } from '../dist/src/passes/attention.js';
import { groupNodes } from '../dist/src/passes/fuse.js';
import { placeWindows } from '../dist/src/passes/windows.js';
import { checkPlan } from '../dist/src/plan/check.js';
import { plan } from '../dist/src/plan/plan.js';
import { schedule } from '../dist/src/plan/schedule.js';
import { parseRules } from '../dist/src/rules/parse.js';
import { resolveRules } from '../dist/src/rules/resolve.js';
import { convNext, visionTransformer } from './onnx/transformers.mjs';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'vit_b_16,convnext_tiny' },
    batch: { type: 'string', default: '8' },
    software: { type: 'boolean', default: false },
    top: { type: 'string', default: '6' },
  },
});
const batch = Number(options.batch);
const makers = { vit_b_16: visionTransformer, convnext_tiny: convNext };
const device = {
  subgroupSize: options.software ? 8 : 32,
  software: options.software,
  maxInvocations: options.software ? 256 : 1024,
  maxWorkgroupStorage: options.software ? 16384 : 49152,
  maxBindingBytes: options.software ? 2 ** 27 : 2 ** 31,
  maxStorageBuffers: 8,
};
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function build(definition, backward) {
  const graph = new Graph();
  const images = graph.input('images', [batch, ...definition.input]);
  const { logits } = addModel(graph, definition, images);
  graph.output('logits', logits);
  if (!backward) return graph;
  const loss = graph.one('loss', [logits, graph.input('labels', [batch], 'u32')], { kind: 'crossEntropy' });
  const rules = resolveRules(parseRules('bp'), positionTable(definition));
  graph.output('gradient', gradients(graph, { loss, scale: 1, targets: [images], rules }).get(images));
  return graph;
}

/** Values that are alive when most are, the largest kinds first. */
function held(work, made) {
  let most = { bytes: 0, values: [] };
  for (const index of work.dispatches.keys()) {
    const values = [...made.lifetimes].filter(([, { first, last }]) => first <= index && index <= last);
    const bytes = values.reduce((sum, [tensor]) => sum + byteLength(tensor), 0);
    if (bytes > most.bytes) most = { bytes, values };
  }
  const kinds = new Map();
  for (const [tensor] of most.values) {
    const { op, direction } = tensor.producer ?? { op: 'slice of maps', direction: '' };
    const kind = `${op} [${tensor.shape.join(', ')}]${direction === 'inputGradient' ? ', backward' : ''}`;
    const { count, bytes } = kinds.get(kind) ?? { count: 0, bytes: 0 };
    kinds.set(kind, { count: count + 1, bytes: bytes + byteLength(tensor) });
  }
  return [...kinds].sort(([, a], [, b]) => b.bytes - a.bytes).slice(0, Number(options.top));
}

for (const name of options.models.split(',')) {
  const definition = makers[name](name);
  for (const backward of [false, true])
    for (const sliced of [false, true]) {
      const graph = build(definition, backward);
      const groups = groupNodes(graph, true);
      const regions = sliced ? attentionRegions(graph, groups) : [];
      if (sliced && regions.length === 0) continue;
      const work = schedule(graph, groups, device, () => 0, placeWindows(graph, groups), regions);
      const made = plan(work);
      checkPlan(work, made);
      const flops = work.dispatches.reduce((sum, dispatch) => sum + dispatch.flops, 0);
      console.log(
        `${name}, batch ${batch}, forward${backward ? ' and backward' : ''}, maps ${sliced ? 'in slices' : 'whole'}: ` +
          `plan ${mebibytes(made.bytes)}, kept for the backward ${mebibytes(made.savedForBackwardBytes)}, ` +
          `${work.dispatches.length} dispatches, ${(flops / 1e9).toFixed(1)} GFLOP`,
      );
      for (const [kind, { count, bytes }] of held(work, made)) console.log(`  ${mebibytes(bytes)}: ${count} x ${kind}`);
    }
}
