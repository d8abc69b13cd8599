import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { groupNodes } from '../../src/passes/fuse.js';
import { schedule } from '../../src/plan/schedule.js';
import type { ScheduledDispatch } from '../../src/plan/schedule.js';
import { printGraph } from '../../src/profile/print.js';
import { rulesOf } from '../../src/profile/profile.js';
import { networkGraph } from '../nn/support.js';
import { plainDevice } from '../support/plainDevice.js';

/** The dispatches of a network's input gradient under a rule. */
function dispatchesOf(model: string, rule: string): readonly ScheduledDispatch[] {
  const { graph } = networkGraph({
    definition: modelDefinition(model),
    batch: 2,
    rule,
    loss: 'sum',
    training: false,
    inputOnly: true,
  });
  return schedule(graph, groupNodes(graph, true), plainDevice, () => 1).dispatches;
}

/** What a dispatch's nodes are, with the function of elementwise ones. */
const opsOf = ({ group }: ScheduledDispatch): string[] =>
  [group.anchor, ...group.followers].map((node) => ('fn' in node.attrs ? `map:${node.attrs.fn.name}` : node.op));

/** Names of the rules of all dispatches with a node of this kind. */
function rulesBy(dispatches: readonly ScheduledDispatch[], op: string): string[] {
  const found = dispatches.filter((dispatch) => opsOf(dispatch).includes(op));
  expect(found.length, op).to.be.greaterThan(0);
  return [...new Set(found.map(rulesOf))];
}

describe('rules of dispatches', () => {
  it('pointwise rules, wherever they are fused', () => {
    const dispatches = dispatchesOf('resnet18', 'linbp:from=layer3+leaky:a=0.5,only=layer2.*');
    expect(new Set(dispatches.map(rulesOf))).to.deep.equal(new Set(['', 'bp', 'leaky']));
    for (const dispatch of dispatches)
      expect(rulesOf(dispatch) !== '', opsOf(dispatch).join()).to.equal(opsOf(dispatch).includes('activationBackward'));
  });

  it('the scaled edges of sgm', () => {
    const dispatches = dispatchesOf('resnet18', 'sgm:gamma=0.2');
    expect(rulesBy(dispatches, 'map:scaleGradient')).to.deep.equal(['sgm']);
    // The branch's own nodes are ordinary ones.
    expect(new Set(dispatches.map(rulesOf))).to.deep.equal(new Set(['', 'bp', 'sgm']));
  });

  it('matching by activation: norms and rescaling', () => {
    const dispatches = dispatchesOf('resnet18', 'linbp:from=layer3,match=activation');
    expect(rulesBy(dispatches, 'sampleNorm')).to.deep.equal(['linbp-matched']);
    expect(rulesBy(dispatches, 'map:rescale')).to.deep.equal(['linbp-matched']);
    expect(rulesBy(dispatches, 'conv2dInputGradient')).to.include('');
  });

  it('matching by block: norms and rescaling, but not the nodes that it walks twice', () => {
    const dispatches = dispatchesOf('resnet18', 'linbp:from=3_1,match=block');
    expect(rulesBy(dispatches, 'sampleNorm')).to.deep.equal(['block-matched']);
    expect(rulesBy(dispatches, 'map:rescaleBranch')).to.deep.equal(['block-matched']);
    const products = dispatches.filter((dispatch) => opsOf(dispatch).includes('conv2dInputGradient'));
    expect(products.map(rulesOf)).to.not.include('block-matched');
  });

  it('pooling by softmax weights', () => {
    const dispatches = dispatchesOf('resnet18_imagenet', 'bpa');
    expect(rulesBy(dispatches, 'maxPool2dSoftmaxBackward')[0]).to.include('softmax-pool');
  });

  it('the printed graph names them', () => {
    const { graph } = networkGraph({
      definition: modelDefinition('resnet20'),
      batch: 1,
      rule: 'sgm',
      loss: 'sum',
      training: false,
      inputOnly: true,
    });
    const lines = printGraph(graph).split('\n');
    expect(lines.filter((line) => line.includes('scaleGradient')).every((line) => / sgm /.test(line))).to.equal(true);
  });

  it('a scope ends with what it was opened for', () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 3]);
    const ruled = graph.scope({ rule: 'mine' }, () => graph.one('add', [x, x], {}));
    expect([ruled.producer!.rule, graph.one('add', [x, x], {}).producer!.rule]).to.deep.equal(['mine', '']);
  });
});
