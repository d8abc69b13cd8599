import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Region, Tensor } from '../../src/graph/types.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { addModel, describeModel, isBuffer, positionTable } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { formatRules, parseRules } from '../../src/rules/parse.js';
import type { RuleSpec } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { wgslRule } from '../../src/rules/user.js';
import { errorOf, evaluate } from '../reference/support.js';
import { slowly } from '../support/slow.js';
import { tinyResnet } from './support.js';

const batch = 1;

/** What the authors' hook does at one ReLU. */
const hook = wgslRule({
  name: 'hook',
  saves: 'mask',
  parameters: ['factor'],
  wgsl: 'fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 { return p.x * g * d; }',
  reference: (g, d, _z, [factor = 1]) => factor * g * d,
});

/** The gradient of the images in float64 under given rules. */
function gradientUnder(definition: ModelDefinition, specs: readonly RuleSpec[]): Float64Array {
  const graph = new Graph();
  const images = graph.input('images', [batch, ...definition.input]);
  const labels = graph.input('labels', [batch], 'u32');
  const network = addModel(graph, definition, images);
  const loss = graph.one('loss', [network.logits, labels], { kind: 'crossEntropy' });
  const rules = resolveRules(specs, positionTable(definition));
  const gradient = gradients(graph, { loss, scale: 1, targets: [images], rules }).get(images)!;
  graph.output('gradient', gradient);
  const feeds = new Map<Tensor, ArrayLike<number>>([
    [images, formulaTensor('input', images.shape, 'input')],
    [labels, [1]],
  ]);
  for (const store of [network.parameters, network.buffers])
    if (store !== undefined) feeds.set(store, new Float32Array(elementCount(store.shape)));
  for (const spec of describeModel(definition).layout.specs) {
    const store = (isBuffer(spec) ? network.buffers! : network.parameters) as Tensor;
    const values = formulaTensor(spec.name, spec.shape, spec.kind);
    (feeds.get(store) as Float32Array).set(values, network.tensors.get(spec.name)!.view!.offset);
  }
  return Float64Array.from(evaluate(graph, [...feeds]).get(gradient));
}

const cosine = (a: Float64Array, b: Float64Array): number => {
  const dot = (u: Float64Array, v: Float64Array): number => u.reduce((sum, each, i) => sum + each * v[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};

describe("SGM where its authors' hooks stand", () => {
  const gamma = 0.3;
  const only = (definition: ModelDefinition, test: (name: string) => boolean): string[] =>
    positionTable(definition)
      .positions.map(({ name }) => name)
      .filter(test);

  const directions = 'the direction is that of hooks at every ReLU without "0.relu" in its name';
  for (const [definition, reluOfBranch] of [
    [tinyResnet, 2],
    [modelDefinition('resnet20'), 1],
  ] as const)
    slowly(definition !== tinyResnet, `${definition.name}: ${directions}`, 300_000, () => {
      // the code's own choice: hooks fire at the ReLUs behind additions and, named just "relu", at the stem's, too
      const hooked = only(definition, (name) => !name.includes('0.relu'));
      const factor = gamma ** (1 / reluOfBranch);
      const byHooks = gradientUnder(definition, [{ rule: hook, parameters: { factor }, only: hooked }]);
      const own = gradientUnder(definition, parseRules(`sgm:gamma=${gamma},blocks=hooked`));
      expect(cosine(own, byHooks)).to.be.closeTo(1, 1e-12);
      // neither of all branches nor of the true gradient
      for (const other of [`sgm:gamma=${gamma}`, 'bp'])
        expect(cosine(own, gradientUnder(definition, parseRules(other))), other).to.be.below(1 - 1e-6);
      expect(Array.from(gradientUnder(definition, parseRules('sgm:gamma=1,blocks=hooked')))).to.deep.equal(
        Array.from(gradientUnder(definition, parseRules('bp'))),
      );
    });

  it('leaves out blocks 0, 10, 20 of each stage and branches without ReLUs, and is written as it is read', () => {
    const positions = [0, 1, 9, 10, 11, 20].map((block, index) => ({
      ...{ name: `layer3.${block}.relu1`, index, stage: 'layer3', block },
      ...({ kind: 'branch', activation: 'relu' } as const),
    }));
    const named = positions.map(({ block, name }) => ({ name: `layer3.${block}`, activations: [name] }));
    const branches = [...named, { name: 'layer3.1.attention', activations: [] }];
    const table = { model: 'deep', positions, branches, presets: {} };
    const scaled = (rule: string): string[] => {
      const { edge } = resolveRules(parseRules(rule), table);
      return branches.map(({ name }) => name).filter((name) => edge?.({ name } as Region) !== undefined);
    };
    expect(scaled('sgm:blocks=hooked')).to.deep.equal(['layer3.1', 'layer3.9', 'layer3.11']);
    expect(scaled('sgm:blocks=hooked,from=layer3.10')).to.deep.equal(['layer3.11']);
    expect(scaled('sgm:blocks=all')).to.deep.equal(scaled('sgm'));
    const written = 'sgm:gamma=0.3,blocks=hooked';
    expect(formatRules(parseRules(written))).to.equal(written);
    expect(errorOf(() => parseRules('linbp:blocks=hooked')).code).to.equal('unknown-option');
    expect(errorOf(() => parseRules('sgm:blocks=first')).code).to.equal('bad-range');
    // only first blocks: nothing would be scaled
    const firsts = { ...table, positions: positions.slice(0, 1), branches: branches.slice(0, 1) };
    expect(errorOf(() => resolveRules(parseRules('sgm:blocks=hooked'), firsts)).code).to.equal('unknown-layer');
  });
});
