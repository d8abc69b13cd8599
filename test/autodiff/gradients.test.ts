import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import type { Node, Tensor } from '../../src/graph/types.js';
import { activationMatched } from '../../src/rules/activationMatched.js';
import { bp, guided, leaky, linbp, softplus } from '../../src/rules/builtin.js';
import { parseRules } from '../../src/rules/parse.js';
import { everywhere, resolveRules } from '../../src/rules/resolve.js';
import type { BackwardSelection } from '../../src/graph/backward.js';
import { lenet5, lenet5Positions, mlp } from '../reference/networks.js';
import type { Network } from '../reference/networks.js';
import { errorOf, evaluate, noise, opNames, relativeError } from '../reference/support.js';

/** x [N, I] -> W1 -> ReLU -> W2 -> ReLU -> W3 -> loss, small enough to be written out by hand. */
function threeLayers(batch: number, sizes: readonly [number, number, number, number]) {
  const graph = new Graph();
  const x = graph.input('x', [batch, sizes[0]]);
  const labels = graph.input('labels', [batch], 'u32');
  const w = [1, 2, 3].map((l) => graph.parameter(`w${l}`, [sizes[l]!, sizes[l - 1]!]));
  let h = x;
  const z: Tensor[] = [];
  for (const [l, weight] of w.entries()) {
    h = graph.scope({ layer: `l${l}` }, () => graph.one('linear', [h, weight], {}));
    z.push(h);
    if (l < 2)
      h = graph.scope({ layer: `relu${l}` }, () => graph.one('activation', [h], { kind: 'relu', mask: false }));
  }
  const loss = graph.one('loss', [h, labels], { kind: 'crossEntropy' });
  return { graph, x, labels, w, z, logits: h, loss };
}

const count = (tensor: Tensor): number => tensor.shape.reduce((product, size) => product * size, 1);
const fill = (tensor: Tensor, low = -1, high = 1): [Tensor, ArrayLike<number>] => [
  tensor,
  tensor.dtype === 'u32' ? new Uint32Array(count(tensor)) : noise(count(tensor), low, high),
];

/** rows x columns times columns x others. */
function matmul(a: ArrayLike<number>, b: ArrayLike<number>, rows: number, columns: number, others: number): number[] {
  return Array.from({ length: rows * others }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += a[Math.floor(i / others) * columns + k]! * b[k * others + (i % others)]!;
    return sum;
  });
}

const attack = (network: Network, rules: BackwardSelection): Node[] => {
  const before = network.graph.nodes.length;
  gradients(network.graph, { loss: network.loss, scale: 1, targets: [network.input], rules });
  return network.graph.nodes.slice(before);
};

describe('gradients', () => {
  it('an attack computes no gradient of a weight, and training none of the input', () => {
    const nodes = attack(lenet5(2), everywhere(bp));
    expect(opNames(nodes)).to.not.include.members(['conv2dWeightGradient']);
    expect(nodes.some(({ direction }) => direction === 'weightGradient')).to.equal(false);
    const network = lenet5(2);
    const before = network.graph.nodes.length;
    gradients(network.graph, {
      loss: network.loss,
      scale: 0.5,
      targets: [...network.parameters.values()],
      rules: everywhere(bp),
    });
    const training = network.graph.nodes.slice(before);
    expect(training.filter(({ op }) => op === 'conv2dInputGradient')).to.have.length(1);
    expect(training.filter(({ op }) => op === 'conv2dWeightGradient')).to.have.length(2);
    expect(training.filter(({ op }) => op === 'linearInputGradient')).to.have.length(3);
  });

  it('only the layers behind a target are walked', () => {
    const network = lenet5(2);
    const before = network.graph.nodes.length;
    gradients(network.graph, {
      loss: network.loss,
      scale: 1,
      targets: [network.parameters.get('fc.4.bias')!],
      rules: everywhere(bp),
    });
    expect(opNames(network.graph.nodes.slice(before))).to.deep.equal(['lossBackward', 'linearWeightGradient']);
  });

  it('a linear rule costs nothing: one node fewer per linearized ReLU, and no mask', () => {
    for (const build of [mlp, lenet5]) {
      const [plain, linear] = [build(2), build(2)];
      const relus = (network: Network): Node<'activation'>[] =>
        network.graph.nodes.filter((node) => node.op === 'activation') as unknown as Node<'activation'>[];
      const difference = attack(plain, everywhere(bp)).length - attack(linear, everywhere(linbp)).length;
      expect(difference).to.equal(relus(plain).length);
      expect(relus(plain).every((node) => node.attrs.mask && node.outputs.length === 2)).to.equal(true);
      expect(relus(linear).every((node) => !node.attrs.mask && node.outputs.length === 1)).to.equal(true);
    }
    const network = lenet5(2);
    attack(network, resolveRules(parseRules('linbp'), lenet5Positions));
    const masked = network.graph.nodes
      .filter((node) => node.op === 'activation' && node.outputs.length === 2)
      .map((node) => node.layer);
    expect(masked).to.deep.equal(['conv1.2', 'conv2.2']);
  });

  it('a mask is added in place: the same tensors and ids, and once for two rules', () => {
    const network = mlp(2);
    const { graph } = network;
    const before = graph.nodes.map(({ id, op, outputs }) => ({ id, op, y: outputs[0] }));
    attack(network, everywhere(bp));
    const tensors = graph.tensors.filter((tensor) => tensor.name.endsWith('.mask')).length;
    attack(network, everywhere(guided));
    expect(graph.tensors.filter((tensor) => tensor.name.endsWith('.mask')).length)
      .to.equal(tensors)
      .and.to.equal(3);
    expect(graph.nodes.slice(0, before.length).map(({ id, op, outputs }) => ({ id, op, y: outputs[0] }))).to.deep.equal(
      before,
    );
    for (const node of graph.nodes) for (const output of node.outputs) expect(output.producer).to.equal(node);
  });

  it('nodes belong to the layer of the forward node and to the current segment', () => {
    const network = lenet5(2);
    const before = network.graph.nodes.length;
    network.graph.scope({ segment: 'attack' }, () => attack(network, everywhere(bp)));
    const nodes = network.graph.nodes.slice(before);
    expect(nodes.every(({ segment }) => segment === 'attack')).to.equal(true);
    expect(nodes.filter(({ op }) => op === 'activationBackward').map(({ layer }) => layer)).to.deep.equal([
      'fc.3',
      'fc.1',
      'conv2.2',
      'conv1.2',
    ]);
  });

  it('of a tensor used twice are added', () => {
    const graph = new Graph();
    const [x, labels] = [graph.input('x', [2, 3]), graph.input('labels', [2], 'u32')];
    const loss = graph.one('loss', [graph.one('add', [x, x], {}), labels], { kind: 'crossEntropy' });
    const dx = gradients(graph, { loss, scale: 1, targets: [x], rules: everywhere(bp) }).get(x)!;
    expect(opNames(graph.nodes)).to.deep.equal(['add', 'loss', 'lossBackward', 'add']);
    const g = graph.nodes[2]!.outputs[0]!;
    const run = evaluate(graph, [fill(x), fill(labels)]);
    expect(Array.from(run.get(dx))).to.deep.equal(Array.from(run.get(g), (value) => 2 * value));
  });

  it('are multiplied by the scale of the loss', () => {
    const found = [1, 0.25].map((scale) => {
      const { graph, x, w, labels, loss } = threeLayers(2, [3, 4, 4, 3]);
      const dx = gradients(graph, { loss, scale, targets: [x], rules: everywhere(bp) }).get(x)!;
      const inputs = [x, ...w].map((tensor, index): [Tensor, ArrayLike<number>] => [
        tensor,
        Float64Array.from({ length: count(tensor) }, (_, i) => Math.sin(1 + i + 7 * index)),
      ]);
      return Array.from(evaluate(graph, [...inputs, fill(labels)]).get(dx));
    });
    expect(found[0]!.some((value) => value !== 0)).to.equal(true);
    expect(found[1]).to.deep.equal(found[0]!.map((value) => 0.25 * value));
  });

  it('refuse what cannot be differentiated', () => {
    const network = lenet5(2);
    const options = { loss: network.loss, scale: 1, rules: everywhere(bp) };
    const lone = network.graph.parameter('lone', [3]);
    expect(errorOf(() => gradients(network.graph, { ...options, targets: [lone] })).field).to.equal('lone');
    expect(
      errorOf(() => gradients(network.graph, { ...options, loss: network.logits, targets: [network.input] })).code,
    ).to.equal('bad-argument');
    const graph = new Graph();
    const [x, labels] = [graph.input('x', [2, 3]), graph.input('labels', [2], 'u32')];
    const fn = {
      name: 'double',
      inputs: ['x'],
      scalars: [],
      results: ['2.0 * x'],
      reference: (...[v]: number[]) => [2 * v!],
    };
    const y = graph.one('map', [x], { fn, scalars: [], targets: ['new'] });
    const loss = graph.one('loss', [y, labels], { kind: 'logit' });
    expect(errorOf(() => gradients(graph, { loss, scale: 1, targets: [x], rules: everywhere(bp) })).message).to.contain(
      'double has no derivative by x',
    );
  });
});

describe('rule laws', () => {
  const sizes = [5, 7, 6, 4] as const;
  const batch = 3;

  it('no rule changes a forward value', () => {
    const values = lenet5(2);
    const image = noise(2 * 784, 0, 1);
    const logits = [bp, linbp, softplus(0.5), guided].map((use) => {
      const network = lenet5(2);
      attack(network, everywhere(use));
      const inputs = network.weights.map(([tensor], i): [Tensor, ArrayLike<number>] => [tensor, values.weights[i]![1]]);
      return Array.from(evaluate(network.graph, [...inputs, [network.input, image]]).get(network.logits));
    });
    for (const other of logits) expect(other).to.deep.equal(logits[0]);
  });

  it('where every pre-activation is positive, bp, linbp and leaky agree; elsewhere linbp differs from bp', () => {
    for (const [low, agree] of [
      [0.1, true],
      [-1, false],
    ] as const) {
      const net = threeLayers(batch, sizes);
      const all = [bp, linbp, leaky(0.3)].map((use) =>
        gradients(net.graph, { loss: net.loss, scale: 1, targets: [net.x, ...net.w], rules: everywhere(use) }),
      );
      const run = evaluate(net.graph, [...net.w.map((w) => fill(w, low)), fill(net.x, low), fill(net.labels)]);
      for (const target of agree ? [net.x, ...net.w] : [net.x]) {
        const [first, second, third] = all.map((found) => run.get(found.get(target)!));
        if (agree) expect(Math.max(relativeError(second!, first!), relativeError(third!, first!))).to.be.below(1e-12);
        else expect(relativeError(second!, first!)).to.be.above(1e-6);
      }
    }
  });

  it('a network linearized throughout has the input gradient W1^T W2^T W3^T dL/dlogits', () => {
    const net = threeLayers(batch, sizes);
    const found = gradients(net.graph, {
      loss: net.loss,
      scale: 1,
      targets: [net.x, net.logits],
      rules: everywhere(linbp),
    });
    const run = evaluate(net.graph, [...net.w.map((w) => fill(w)), fill(net.x), fill(net.labels)]);
    let g: ArrayLike<number> = run.get(found.get(net.logits)!);
    for (const l of [3, 2, 1]) g = matmul(g, run.get(net.w[l - 1]!), batch, sizes[l]!, sizes[l - 1]!);
    expect(relativeError(run.get(found.get(net.x)!), g)).to.be.below(1e-12);
  });

  it('weight gradients under linbp are the modified error times the true activations', () => {
    const net = threeLayers(batch, sizes);
    const found = gradients(net.graph, {
      loss: net.loss,
      scale: 1,
      targets: [net.w[1]!, net.logits],
      rules: everywhere(linbp),
    });
    const run = evaluate(net.graph, [...net.w.map((w) => fill(w)), fill(net.x), fill(net.labels)]);
    const error = matmul(run.get(found.get(net.logits)!), run.get(net.w[2]!), batch, sizes[3], sizes[2]);
    const h = run.get(net.z[0]!).map((z) => Math.max(z, 0));
    const dw = Array.from({ length: sizes[2] * sizes[1] }, (_, i) => {
      const [o, j] = [Math.floor(i / sizes[1]), i % sizes[1]];
      return Array.from({ length: batch }, (_n, n) => error[n * sizes[2] + o]! * h[n * sizes[1] + j]!).reduce(
        (sum, value) => sum + value,
        0,
      );
    });
    expect(relativeError(run.get(found.get(net.w[1]!)!), dw)).to.be.below(1e-12);
  });

  it('the gradient behind a linearized ReLU goes to the first of equal zeros of the pool', () => {
    const graph = new Graph();
    const [z, labels] = [graph.input('z', [1, 3, 2, 2]), graph.input('labels', [1], 'u32')];
    const y = graph.one('activation', [z], { kind: 'relu', mask: false });
    const pooled = graph.add('maxPool2d', [y], {
      kernel: [2, 2],
      stride: [2, 2],
      padding: [0, 0, 0, 0],
      ceilMode: false,
    })[0]!;
    const loss = graph.one('loss', [graph.one('reshape', [pooled], { shape: [1, 3] }), labels], {
      kind: 'crossEntropy',
    });
    const dz = gradients(graph, { loss, scale: 1, targets: [z], rules: everywhere(linbp) }).get(z)!;
    const run = evaluate(graph, [fill(z, -2, -1), fill(labels)]);
    const third = 1 / 3;
    Array.from(run.get(dz)).forEach((value, i) =>
      expect(value).to.be.closeTo([-2 * third, 0, 0, 0, third, 0, 0, 0, third, 0, 0, 0][i]!, 1e-12),
    );
  });

  it('one model takes one rule for its input and another for its weights', () => {
    const net = threeLayers(batch, sizes);
    const inputs = gradients(net.graph, { loss: net.loss, scale: 1, targets: [net.x], rules: everywhere(linbp) });
    const weights = gradients(net.graph, { loss: net.loss, scale: 1, targets: net.w, rules: everywhere(bp) });
    const alone = threeLayers(batch, sizes);
    const expected = gradients(alone.graph, { loss: alone.loss, scale: 1, targets: alone.w, rules: everywhere(bp) });
    const data = [...net.w, net.x, net.labels].map((tensor) => fill(tensor)[1]);
    const run = evaluate(
      net.graph,
      [...net.w, net.x, net.labels].map((tensor, i) => [tensor, data[i]!]),
    );
    const other = evaluate(
      alone.graph,
      [...alone.w, alone.x, alone.labels].map((tensor, i) => [tensor, data[i]!]),
    );
    net.w.forEach((w, i) =>
      expect(Array.from(run.get(weights.get(w)!))).to.deep.equal(Array.from(other.get(expected.get(alone.w[i]!)!))),
    );
    expect(run.get(inputs.get(net.x)!).some((value) => value !== 0)).to.equal(true);
  });

  it('activation-matched gradients keep the direction of linbp and take the length of bp', () => {
    for (const scope of ['sample', 'batch'] as const) {
      const graph = new Graph();
      const [z, labels] = [graph.input('z', [4, 6]), graph.input('labels', [4], 'u32')];
      const y = graph.one('activation', [z], { kind: 'relu', mask: false });
      const loss = graph.one('loss', [y, labels], { kind: 'crossEntropy' });
      const at = (rules: BackwardSelection): Tensor =>
        gradients(graph, { loss, scale: 1, targets: [z], rules }).get(z)!;
      const [plain, linear] = [at(everywhere(bp)), at(everywhere(linbp))];
      const matched = at(() => ({ kind: 'emit', rule: activationMatched({ scope }) }));
      const run = evaluate(graph, [fill(z), fill(labels)]);
      const groups = scope === 'sample' ? 4 : 1;
      const part = (tensor: Tensor, i: number): number[] =>
        Array.from(run.get(tensor)).slice((i * 24) / groups, ((i + 1) * 24) / groups);
      for (let i = 0; i < groups; i++) {
        const factor = Math.hypot(...part(plain, i)) / Math.hypot(...part(linear, i));
        expect(
          relativeError(
            part(matched, i),
            part(linear, i).map((value) => factor * value),
          ),
        ).to.be.below(1e-12);
      }
    }
  });

  it('matching leaves a vanishing gradient as it is', () => {
    const graph = new Graph();
    const g = graph.input('g', [2, 3]);
    const z = graph.input('z', [2, 3]);
    const y = graph.one('activation', [z], { kind: 'relu', mask: false });
    const pointwise = (): Tensor => g;
    const dz = activationMatched({ scope: 'sample' }).emit(
      { graph, pointwise },
      y.producer as unknown as Node<'activation'>,
      g,
    );
    expect(Array.from(evaluate(graph, [fill(z)]).get(dz))).to.deep.equal([0, 0, 0, 0, 0, 0]);
  });
});
