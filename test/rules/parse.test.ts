import { expect } from 'chai';
import { formatRules, parseRules } from '../../src/rules/parse.js';
import type { RuleSpec } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { selectPositions } from '../../src/rules/select.js';
import type { ActivationPosition, PositionTable } from '../../src/rules/positions.js';
import type { Node } from '../../src/graph/types.js';
import { wgslRule } from '../../src/rules/user.js';
import { lenet5Positions } from '../reference/networks.js';
import { errorOf } from '../reference/support.js';

/**
 * A small residual network: a stem, and two stages of two blocks with two ReLUs in the branch and one after the
 * addition.
 */
const blocks = [3, 4].flatMap((stage) => [0, 1].map((block) => ({ stage: `layer${stage}`, block })));
const resnet: PositionTable = {
  model: 'resnet',
  positions: [
    { name: 'relu', index: 0, kind: 'stem' as const, activation: 'relu' as const },
    ...blocks.flatMap(({ stage, block }, b) =>
      [1, 2, 3].map((k): ActivationPosition => {
        return {
          name: `${stage}.${block}.relu${k}`,
          index: 3 * b + k,
          stage,
          block,
          kind: k === 3 ? 'post-addition' : 'branch',
          activation: 'relu6',
        };
      }),
    ),
  ],
  presets: { default: ['layer4.0.relu1', 'layer4.1.relu3'] },
};

const names = (text: string, table = resnet): string[] =>
  selectPositions(parseRules(text)[0]!, table).map(({ name }) => name);
const at = (text: string, table: PositionTable, layer: string) =>
  resolveRules(parseRules(text), table)({ layer } as Node<'activation'>);
const code = (text: string): string => errorOf(() => parseRules(text)).code;

describe('rule notation', () => {
  it('reads the forms of the command line', () => {
    expect(parseRules('bp')).to.deep.equal([{ rule: 'bp', parameters: {} }]);
    expect(parseRules('linbp:from=layer3')).to.deep.equal([{ rule: 'linbp', parameters: {}, from: 'layer3' }]);
    const block = { kind: 'block', lambda: 0.5 };
    expect(parseRules('linbp:from=3_1,match=block,lambda=0.5')).to.deep.equal([
      { rule: 'linbp', parameters: {}, from: '3_1', match: block },
    ]);
    expect(parseRules('linbp:match=activation,scope=batch')[0]!.match).to.deep.equal({
      kind: 'activation',
      scope: 'batch',
    });
    expect(parseRules('linbp:match=activation')[0]!.match).to.deep.equal({ kind: 'activation', scope: 'sample' });
    expect(parseRules('softplus')[0]!.parameters).to.deep.equal({ beta: 0.5 });
    expect(parseRules('leaky:a=0.25,post=false')[0]).to.deep.equal({
      rule: 'leaky',
      parameters: { a: 0.25 },
      post: false,
    });
    expect(parseRules('linbp:only=fc.1,fc.3,post=true')[0]).to.deep.include({ only: ['fc.1', 'fc.3'], post: true });
    expect(parseRules('linbp+sgm:gamma=0.2').map(({ rule }) => rule)).to.deep.equal(['linbp', 'sgm']);
  });

  it('is written back as it is read', () => {
    for (const text of [
      'bp',
      'linbp:from=3_1,match=block,lambda=1',
      'softplus:beta=0.5,from=all+guided:only=a.*,b',
      'linbp:post=true,preset=training',
    ]) {
      expect(formatRules(parseRules(text))).to.equal(text);
      expect(parseRules(formatRules(parseRules(text)))).to.deep.equal(parseRules(text));
    }
  });

  it('knows rules of the user, with their parameters', () => {
    const rule = wgslRule({
      name: 'mine',
      saves: 'nothing',
      parameters: ['k'],
      wgsl: 'fn rule(g: f32, d: f32, z: f32, p: vec4<f32>) -> f32 { return p.x * g; }',
    });
    const specs = parseRules('mine:k=3,from=fc', [rule]);
    expect(resolveRules(specs, lenet5Positions)({ layer: 'fc.3' } as Node<'activation'>)).to.deep.equal({
      kind: 'pointwise',
      use: { rule, values: [3] },
    });
    expect(errorOf(() => parseRules('mine:q=3', [rule])).code).to.equal('unknown-option');
  });

  it('names what is wrong', () => {
    expect(parseRules('bpa')[0]!.parameters).to.deep.equal({ scale: 1 });
    expect(code('relu')).to.equal('unknown-rule');
    expect(code('')).to.equal('unknown-rule');
    expect(code('toString')).to.equal('unknown-rule');
    expect(code('linbp+')).to.equal('unknown-rule');
    expect(errorOf(() => parseRules('linbp:lambda=1')).message).to.contain('lambda needs match=block');
    expect(errorOf(() => parseRules('linbp:scope=batch')).message).to.contain('scope needs match=activation');
    for (const text of [
      'linbp:form=layer3',
      'linbp:from',
      'linbp:from=',
      'linbp:from=a,from=b',
      'linbp:lambda=1',
      'linbp:scope=sample',
      'bp:a=1',
      'linbp:match=activation,lambda=1',
      'linbp:constructor=1',
    ]) {
      expect(code(text), text).to.equal('unknown-option');
    }
    for (const text of [
      'softplus:beta=0',
      'softplus:beta=x',
      'leaky',
      'leaky:a=2',
      'linbp:post=yes',
      'linbp:match=layer',
      'linbp:match=activation,scope=all',
      'linbp:match=block,lambda=-1',
      'sgm:gamma=-0.1',
      'bpa:tau=0',
    ]) {
      expect(code(text), text).to.equal('bad-range');
    }
  });
});

describe('rules as code writes them', () => {
  const resolve = (...specs: unknown[]) => resolveRules(specs as readonly RuleSpec[], lenet5Positions);
  const values = (spec: RuleSpec): readonly number[] => {
    const backward = resolve(spec)({ layer: 'fc.3' } as Node<'activation'>);
    return backward.kind === 'pointwise' ? backward.use.values : [];
  };

  it('have the defaults of the notation', () => {
    expect(values({ rule: 'softplus', from: 'all' })).to.deep.equal([0.5, 0]);
    expect(values({ rule: 'softplus', from: 'all', parameters: { beta: 3 } })).to.deep.equal([3, 0]);
    expect(values({ rule: 'bpa' })).to.deep.equal([0, 1]);
  });

  it('are refused for what the notation refuses', () => {
    for (const [code, field, spec] of [
      ['unknown-rule', 'rule', { rule: 'relu' }],
      ['unknown-rule', 'rule', { rule: 'toString' }],
      ['unknown-rule', 'rule', {}],
      ['bad-argument', undefined, null],
      ['unknown-option', 'form', { rule: 'linbp', form: 'all' }],
      ['unknown-option', 'alpha', { rule: 'leaky', from: 'all', parameters: { alpha: 0.5 } }],
      ['unknown-option', 'a', { rule: 'bp', parameters: { a: 0.5 } }],
      ['bad-range', 'a', { rule: 'leaky', from: 'all' }],
      ['bad-range', 'a', { rule: 'leaky', from: 'all', parameters: { a: 2 } }],
      ['bad-range', 'beta', { rule: 'softplus', from: 'all', parameters: { beta: 0 } }],
      ['bad-range', 'beta', { rule: 'softplus', from: 'all', parameters: { beta: '1' } }],
      ['bad-range', 'scale', { rule: 'bpa', parameters: { scale: NaN } }],
      ['bad-argument', 'post', { rule: 'linbp', from: 'all', post: 'false' }],
      ['bad-argument', 'from', { rule: 'linbp', from: 3 }],
      ['bad-argument', 'only', { rule: 'linbp', only: 'fc.1' }],
      ['bad-range', 'on', { rule: 'linbp', from: 'all', on: ['tanhh'] }],
      ['unknown-option', 'blocks', { rule: 'linbp', from: 'all', blocks: 'hooked' }],
      ['bad-range', 'match', { rule: 'linbp', from: 'all', match: { kind: 'layer' } }],
      ['bad-range', 'match', { rule: 'linbp', from: 'all', match: { kind: 'activation', scope: 'all' } }],
    ] as const) {
      const error = errorOf(() => resolve(spec));
      expect([error.code, error.field], JSON.stringify(spec)).to.deep.equal([code, field ?? 'options']);
    }
    expect(errorOf(() => resolveRules(5 as unknown as RuleSpec[], resnet)).code).to.equal('bad-argument');
    expect(errorOf(() => parseRules('linbp:constructor=1')).message).to.contain('no option "constructor"');
  });
});

describe('positions', () => {
  it('from a stage, block, name or index: everything behind it', () => {
    expect(names('linbp:from=layer4')).to.have.length(6);
    expect(names('linbp:from=layer3.1')).to.deep.equal(resnet.positions.slice(4).map(({ name }) => name));
    expect(names('linbp:from=layer3.1.relu2')[0]).to.equal('layer3.1.relu2');
    expect(names('linbp:from=10')).to.have.length(3);
    expect(names('linbp:from=all')).to.have.length(13);
    expect(names('linbp:from=layer3,post=false')).to.have.length(8);
  });

  it('from j_k: branches only, unless post=true', () => {
    expect(names('linbp:from=3_1')).to.deep.equal(
      ['3.1.relu1', '3.1.relu2', '4.0.relu1', '4.0.relu2', '4.1.relu1', '4.1.relu2'].map((name) => `layer${name}`),
    );
    expect(names('linbp:from=3_1,post=true')).to.have.length(9);
  });

  it('only by name and pattern', () => {
    expect(names('linbp:only=layer?.0.relu3')).to.deep.equal(['layer3.0.relu3', 'layer4.0.relu3']);
    expect(names('linbp:only=*.relu1,relu')).to.have.length(5);
    expect(names('linbp:from=layer4,only=*.relu1')).to.have.length(2);
  });

  it('linbp alone stands at the preset, other rules everywhere', () => {
    expect(names('linbp')).to.deep.equal(resnet.presets['default']);
    expect(names('guided')).to.have.length(13);
  });

  it('the last rule decides and the rest is bp', () => {
    const text = 'linbp:from=fc+softplus:beta=2,only=fc.3';
    expect(at(text, lenet5Positions, 'conv1.2')).to.have.nested.property('use.rule.name', 'bp');
    expect(at(text, lenet5Positions, 'fc.1')).to.have.nested.property('use.rule.name', 'linbp');
    expect(at(text, lenet5Positions, 'fc.3')).to.have.nested.property('use.rule.name', 'softplus');
    expect(at('silu', resnet, 'layer3.0.relu1'))
      .to.have.nested.property('use.values')
      .deep.equal([6, 1]);
    expect(at('linbp:from=all,match=activation', resnet, 'relu').kind).to.equal('emit');
  });

  it('errors list the positions', () => {
    const bare = { ...lenet5Positions, presets: {} };
    for (const text of ['linbp:from=layer9', 'linbp:from=99', 'linbp:from=3_1', 'linbp:only=relu*']) {
      const error = errorOf(() => resolveRules(parseRules(text), lenet5Positions));
      expect(error.code, text).to.equal('unknown-layer');
      expect(error.message, text).to.contain('conv1.2, conv2.2, fc.1, fc.3');
    }
    expect(errorOf(() => resolveRules(parseRules('linbp'), bare)).message).to.contain('fc.3');
    const note = 'the theory code linearizes nothing there';
    expect(errorOf(() => resolveRules(parseRules('linbp'), { ...bare, presetNote: note })).message).to.contain(note);
    expect(errorOf(() => resolveRules(parseRules('linbp:preset=training'), resnet)).code).to.equal('unknown-layer');
    expect(errorOf(() => resolveRules(parseRules('linbp:preset=a,from=all'), resnet)).code).to.equal('unknown-option');
    expect(errorOf(() => resolveRules(parseRules('linbp:match=block'), resnet)).field).to.equal('match');
    expect(errorOf(() => resolveRules(parseRules('sgm'), resnet)).message).to.contain('resnet has none');
    expect(errorOf(() => at('bp', resnet, 'other')).code).to.equal('internal');
  });
});
