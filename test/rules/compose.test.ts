import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { Node, Tensor } from '../../src/graph/types.js';
import { addModel, positionTable } from '../../src/nn/definition.js';
import type { ModelInGraph } from '../../src/nn/definition.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { Program } from '../../src/program/program.js';
import { bp } from '../../src/rules/builtin.js';
import { parseRules } from '../../src/rules/parse.js';
import { everywhere, resolveRules } from '../../src/rules/resolve.js';
import { selectPositions } from '../../src/rules/select.js';
import { softmaxPool } from '../../src/rules/softmaxPool.js';
import { errorOf, evaluate, noise, relativeError } from '../reference/support.js';
import { compareGraph } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { ruleGraph, tinyResnet } from './support.js';

const batch = 3;

/** The gradient under a rule in float64, at the input of the last branch or at the images. */
function gradientOf(
  rule: string,
  at?: (network: ModelInGraph) => Tensor,
  change?: (network: ModelInGraph, parameters: Float32Array) => void,
): number[] {
  const { graph, network, gradient, feeds } = ruleGraph(tinyResnet, { rule, batch, ...(at && { at }) });
  change?.(network, feeds.get(network.parameters) as Float32Array);
  return Array.from(evaluate(graph, [...feeds]).get(gradient));
}
const lastBranch = (network: ModelInGraph): Tensor => network.branches.at(-1)!.input;
const minus = (a: number[], b: number[]): number[] => a.map((value, i) => value - b[i]!);
const norms = (values: number[]): number[] => {
  const length = values.length / batch;
  return Array.from({ length: batch }, (_, n) => Math.hypot(...values.slice(n * length, (n + 1) * length)));
};

describe('rules on residual branches', () => {
  it('match=block: the branch gradient has lambda times the length of the true one, sample by sample', () => {
    const [truth, skip] = [gradientOf('bp', lastBranch), gradientOf('sgm:gamma=0', lastBranch)];
    const wanted = norms(minus(truth, skip));
    for (const lambda of [1, 0.5, 3]) {
      const branch = minus(gradientOf(`linbp:from=2_1,match=block,lambda=${lambda}`, lastBranch), skip);
      expect(Math.min(...wanted)).to.be.above(1e-6);
      norms(branch).forEach((norm, n) => expect(norm / (lambda * wanted[n]!)).to.be.closeTo(1, 1e-9));
    }
  });

  it('lambda 0 and gamma 0 leave the skip connections; gamma 1 is the true gradient, others in between', () => {
    const at = (rule: string): number[] => gradientOf(rule);
    expect(relativeError(at('linbp:from=1_0,match=block,lambda=0'), at('sgm:gamma=0'))).to.be.below(1e-12);
    expect(at('sgm:gamma=1')).to.deep.equal(at('bp'));
    const [truth, skip] = [gradientOf('bp', lastBranch), gradientOf('sgm:gamma=0', lastBranch)];
    const expected = skip.map((value, i) => value + 0.3 * (truth[i]! - value));
    expect(relativeError(gradientOf('sgm:gamma=0.3', lastBranch), expected)).to.be.below(1e-12);
    expect(relativeError(at('sgm:gamma=0.3,from=layer2'), at('sgm:gamma=0.3'))).to.be.above(1e-6);
  });

  it('where every inner pre-activation is positive, alpha is 1 and the result the true gradient', () => {
    const raise = (network: ModelInGraph, parameters: Float32Array): void => {
      for (const [name, tensor] of network.tensors) {
        const kind = /layer.*bn[12]\.(weight|bias)$/.exec(name)?.[1];
        const first = tensor.view!.offset;
        // Hardly any spread around 1.
        if (kind !== undefined) parameters.fill(kind === 'bias' ? 1 : 1e-3, first, first + elementCount(tensor.shape));
      }
    };
    const { graph, network, observed, feeds } = ruleGraph(tinyResnet, { rule: 'linbp:from=1_0,match=block', batch });
    raise(network, feeds.get(network.parameters) as Float32Array);
    const run = evaluate(graph, [...feeds]);
    expect([...observed.keys()]).to.have.members([
      'alpha.layer1.0',
      'alpha.layer1.1',
      'alpha.layer2.0',
      'alpha.layer2.1',
    ]);
    for (const tensor of observed.values()) for (const alpha of run.get(tensor)) expect(alpha).to.be.closeTo(1, 1e-12);
    const matched = gradientOf('linbp:from=1_0,match=block', undefined, raise);
    expect(relativeError(matched, gradientOf('bp', undefined, raise))).to.be.below(1e-12);
  });

  it('match=block takes the rule of the activations inside and leaves those outside true', () => {
    const names = (rule: string): string[] =>
      selectPositions(parseRules(rule)[0]!, positionTable(tinyResnet)).map(({ name }) => name);
    expect(names('linbp:from=layer2,match=block')).to.deep.equal(names('linbp:from=2_0'));
    expect(names('linbp:match=block')).to.deep.equal(['layer2.1.relu1', 'layer2.1.relu2']);
    expect(names('linbp:from=all,match=block')).to.have.length(8);
    expect(names('linbp:from=2_0,match=block,post=true')).to.have.length(6);
    expect(names('linbp:from=3_0,match=block')).to.deep.equal([]);
    const soft = gradientOf('softplus:from=1_0,match=block');
    expect(relativeError(soft, gradientOf('linbp:from=1_0,match=block'))).to.be.above(1e-6);
    expect(gradientOf('bp:match=block').length).to.equal(soft.length);
    expect(relativeError(gradientOf('bp:match=block'), gradientOf('bp'))).to.be.below(1e-12);
  });

  it('refuses what has no meaning', () => {
    const resolve = (rule: string, model = 'lenet5') =>
      errorOf(() => resolveRules(parseRules(rule), positionTable(modelDefinition(model))));
    expect(resolve('sgm').code).to.equal('unknown-layer');
    expect(resolve('linbp:from=fc,match=block').message).to.contain('lenet5 has none');
    expect(resolve('linbp:only=*.relu2,match=block', 'resnet18').message).to.contain(
      'no ReLU inside a residual branch',
    );
    expect(resolve('sgm:match=activation', 'resnet18').code).to.equal('unknown-option');
    expect(resolve('linbp:from=6_0,match=block', 'resnet18').code).to.equal('unknown-layer');
    expect(errorOf(() => softmaxPool(0)).code).to.equal('bad-range');
  });
});

describe('BPA', () => {
  const attrs = (size: number, stride: number, padding: number) => ({
    kernel: [size, size] as const,
    stride: [stride, stride] as const,
    padding: [padding, padding, padding, padding] as const,
    ceilMode: false,
  });

  /** Gradient of a max-pool's input where the loss's gradient at its output is known. */
  function pooled(geometry: ReturnType<typeof attrs>, x: ArrayLike<number>, tau: number | undefined, soft: boolean) {
    const graph = new Graph();
    const [input, labels] = [graph.input('x', [2, 1, 4, 4]), graph.input('labels', [2], 'u32')];
    const y = graph.add('maxPool2d', [input], geometry)[0]!;
    const flat = graph.one('reshape', [y], { shape: [2, elementCount(y.shape) / 2] });
    const loss = graph.one('loss', [flat, labels], { kind: 'crossEntropy' });
    const rules = soft ? Object.assign(everywhere(bp), { maxPool: () => softmaxPool(tau) }) : everywhere(bp);
    const found = gradients(graph, { loss, scale: 1, targets: [input, flat], rules });
    const run = evaluate(graph, [
      [input, x],
      [labels, [0, 1]],
    ]);
    return {
      dx: Array.from(run.get(found.get(input)!)),
      g: Array.from(run.get(found.get(flat)!)),
      y: Array.from(run.get(flat)),
    };
  }

  it('conserves mass without padding; tau to infinity is the true gradient', () => {
    for (const [size, stride, x] of [
      [2, 2, noise(32)],
      [3, 1, noise(32)],
      [2, 2, noise(32, -3, -1)],
    ] as const) {
      const { dx, g } = pooled(attrs(size, stride, 0), x, 2, true);
      for (const n of [0, 1]) {
        const sum = (values: number[]): number =>
          values.slice((n * values.length) / 2, ((n + 1) * values.length) / 2).reduce((a, b) => a + b, 0);
        expect(sum(dx)).to.be.closeTo(sum(g), 1e-12);
      }
      const sharp = pooled(attrs(size, stride, 0), x, 1e6, true).dx;
      expect(relativeError(sharp, pooled(attrs(size, stride, 0), x, 0, false).dx)).to.be.below(1e-9);
    }
  });

  it('has tau 10 where windows overlap and 1 where not, unless it is given', () => {
    const x = noise(32);
    expect(pooled(attrs(3, 2, 1), x, undefined, true).dx).to.deep.equal(pooled(attrs(3, 2, 1), x, 10, true).dx);
    expect(pooled(attrs(2, 2, 0), x, undefined, true).dx).to.deep.equal(pooled(attrs(2, 2, 0), x, 1, true).dx);
    const first = x.slice(0, 16);
    const { dx, g } = pooled(attrs(2, 2, 0), x, undefined, true);
    const window = [0, 1, 4, 5].map((i) => Math.exp(first[i]!));
    expect(dx[5]).to.be.closeTo((g[0]! * window[3]!) / window.reduce((a, b) => a + b), 1e-12);
  });

  it('stands where its paper has it, and where it is told', () => {
    const count = (model: string, rule: string): number =>
      selectPositions(parseRules(rule)[0]!, positionTable(modelDefinition(model))).length;
    expect(count('resnet50_imagenet', 'bpa')).to.equal(24);
    expect(count('vgg19_bn_nips', 'bpa')).to.equal(2);
    expect(count('resnet20', 'bpa:from=layer3')).to.equal(6);
    expect(count('resnet20', 'bpa:from=2_1')).to.equal(10);
    expect(count('resnet20', 'bpa:from=2_1,post=false')).to.equal(5);
    const graph = new Graph();
    const definition = modelDefinition('vgg19_bn_nips');
    const rules = resolveRules(parseRules('bpa:tau=3'), positionTable(definition));
    const { logits } = addModel(graph, definition, graph.input('images', [1, 3, 32, 32]));
    const loss = graph.one('loss', [logits, graph.input('labels', [1], 'u32')], { kind: 'crossEntropy' });
    gradients(graph, { loss, scale: 1, targets: [graph.tensors.find(({ name }) => name === 'images')!], rules });
    const pools = graph.nodes.filter(
      ({ op }) => op === 'maxPool2dSoftmaxBackward',
    ) as unknown as Node<'maxPool2dSoftmaxBackward'>[];
    expect(pools.map(({ attrs: { tau } }) => tau)).to.deep.equal([3, 3, 3, 3, 3]);
    expect(graph.nodes.filter(({ op }) => op === 'maxPool2dBackward')).to.have.length(0);
  });
});

describe('combined rules', function () {
  // The first run on a device compiles every kernel.
  this.timeout(600_000);

  const combinations = [
    'linbp:from=1_1,match=block,lambda=0.5+sgm:gamma=0.4+bpa:from=layer2,tau=3,scale=2',
    'linbp:from=layer2+bpa:only=relu',
    'sgm:gamma=0.2+linbp',
    'softplus:beta=0.5,match=activation,scope=batch',
  ];
  const logits = new Set<string>();

  for (const rule of combinations) {
    it(`${rule}: device equals the float64 reference to 1e-4, logits keep their bits @slow`, async () => {
      const { graph, feeds } = ruleGraph(tinyResnet, { rule, batch });
      for (const { name, error } of await compareGraph(graph, feeds)) expect(error, name).to.be.below(1e-4);
      using program = await Program.compile(graph, { device: await sharedDevice() });
      for (const [tensor, data] of feeds) program.write(tensor, data);
      await program.run([{ segment: 'main' }]);
      logits.add(Buffer.from((await program.read('logits')).buffer).toString('hex'));
      expect(logits.size).to.equal(1);
    });
  }

  it('in training mode, too @slow', async () => {
    const { graph, feeds } = ruleGraph(tinyResnet, {
      rule: 'linbp:from=1_0,match=block+sgm:gamma=0.4+bpa:only=relu',
      batch,
      training: true,
    });
    for (const { name, error } of await compareGraph(graph, feeds)) expect(error, name).to.be.below(1e-3);
  });

  it('commute where they are of different kinds', () => {
    for (const [one, other] of [
      ['linbp:from=layer2+sgm:gamma=0.4', 'sgm:gamma=0.4+linbp:from=layer2'],
      ['linbp:from=1_0,match=block+bpa:only=relu', 'bpa:only=relu+linbp:from=1_0,match=block'],
    ] as const) {
      expect(gradientOf(one)).to.deep.equal(gradientOf(other));
    }
  });

  it('the weight gradients of training refuse match=block and take sgm', () => {
    const resolved = (rule: string) => resolveRules(parseRules(rule), positionTable(tinyResnet));
    const train = (rule: string): Map<Tensor, Tensor> => {
      const graph = new Graph();
      const network = addModel(graph, tinyResnet, graph.input('images', [batch, ...tinyResnet.input]), {
        training: true,
      });
      const loss = graph.one('loss', [network.logits, graph.input('labels', [batch], 'u32')], { kind: 'crossEntropy' });
      const targets = [...network.tensors.values()].filter(({ kind }) => kind === 'parameter');
      return gradients(graph, { loss, scale: 1 / batch, targets, rules: resolved(rule) });
    };
    expect(train('sgm+bpa').size).to.be.above(20);
    expect(errorOf(() => train('linbp:from=2_0,match=block')).message).to.match(
      /input only.*cannot train; it is for att/,
    );
  });
});
