import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { ConvAttrs, LossKind, PoolAttrs, Tensor } from '../../src/graph/types.js';
import type { ReferenceRun } from '../../src/reference/run.js';
import { bp, deconvnet, guided, leaky, linbp, silu, softplus } from '../../src/rules/builtin.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/positions.js';
import type { RuleUse } from '../../src/rules/types.js';
import { loadGolden, loadGoldenJson } from '../support/golden.js';
import { lenet5, lenet5Positions, mlp, mlpPositions } from './networks.js';
import { evaluate, formula, goldenValues, relativeError } from './support.js';

interface Row {
  readonly op: string;
  readonly name: string;
  readonly x: number[];
  readonly w?: number[];
  readonly bias?: boolean;
  readonly stride?: number | [number, number];
  readonly padding?: number | [number, number];
  readonly dilation?: [number, number];
  readonly groups?: number;
  readonly kernel?: number | [number, number];
  readonly scale?: number;
}

const bound = 1e-6;
const golden = loadGolden('ops');
const rows = loadGoldenJson<Row[]>('ops');
const values = (key: string): ArrayLike<number> => goldenValues(golden, key);
const near = (actual: ArrayLike<number>, key: string): void => {
  expect(relativeError(actual, values(key)), key).to.be.below(bound);
};
const pair = (value: number | [number, number] | undefined): [number, number] => (typeof value === 'number' ? [value, value] : value!);
const both = (value: number | [number, number] | undefined): [number, number, number, number] => [...pair(value), ...pair(value)];

function weightRow(row: Row): void {
  const graph = new Graph();
  const x = graph.input('x', row.x);
  const w = graph.parameter('w', row.w!);
  const b = row.bias ? [graph.parameter('b', [row.w![0]!])] : [];
  const inputs: [Tensor, ArrayLike<number>][] = [x, w, ...b].map((tensor) => {
    return [tensor, formula(`${row.name}.${tensor.name}`, elementCount(tensor.shape), -1, 1)];
  });
  let tensors: Tensor[];
  if (row.op === 'linear') {
    const y = graph.one('linear', [x, w, ...b], {});
    const g = graph.input('g', y.shape);
    tensors = [y, g, graph.one('linearInputGradient', [g, w], {}), ...graph.add('linearWeightGradient', [g, x], { bias: row.bias! })];
  } else {
    const attrs: ConvAttrs = { stride: pair(row.stride), padding: both(row.padding), dilation: row.dilation!, groups: row.groups! };
    const y = graph.one('conv2d', [x, w, ...b], attrs);
    const g = graph.input('g', y.shape);
    const dx = graph.one('conv2dInputGradient', [g, w], { ...attrs, inputShape: row.x });
    tensors = [y, g, dx, ...graph.add('conv2dWeightGradient', [g, x], { ...attrs, weightShape: row.w!, bias: row.bias! })];
  }
  const [y, g, dx, dw, db] = tensors as [Tensor, Tensor, Tensor, Tensor, Tensor?];
  const run = evaluate(graph, [...inputs, [g, formula(`${row.name}.g`, elementCount(g.shape), -1, 1)]]);
  near(run.get(y), `${row.name}.y`);
  near(run.get(dx), `${row.name}.dx`);
  near(run.get(dw), `${row.name}.dw`);
  if (db !== undefined) near(run.get(db), `${row.name}.db`);
}

function poolRow(row: Row): void {
  const graph = new Graph();
  const x = graph.input('x', row.x);
  const attrs = (): PoolAttrs => ({ kernel: pair(row.kernel), stride: pair(row.stride), padding: both(row.padding), ceilMode: false });
  const add = (): [Tensor, Tensor, Tensor] => {
    const upstream = (y: Tensor): Tensor => graph.input('g', y.shape);
    if (row.op === 'max_pool2d') {
      const [y, argmax] = graph.add('maxPool2d', [x], attrs()) as [Tensor, Tensor];
      const g = upstream(y);
      return [y, g, graph.one('maxPool2dBackward', [g, argmax], { ...attrs(), inputShape: row.x })];
    }
    if (row.op === 'avg_pool2d') {
      const y = graph.one('avgPool2d', [x], attrs());
      const g = upstream(y);
      return [y, g, graph.one('avgPool2dBackward', [g], { ...attrs(), inputShape: row.x })];
    }
    const size = pair(row.kernel);
    const y = graph.one('adaptiveAvgPool2d', [x], { size });
    const g = upstream(y);
    return [y, g, graph.one('adaptiveAvgPool2dBackward', [g], { size, inputShape: row.x })];
  };
  const [y, g, dx] = add();
  const run = evaluate(graph, [
    [x, values(`${row.name}.x`)],
    [g, formula(`${row.name}.g`, elementCount(g.shape), -1, 1)],
  ]);
  near(run.get(y), `${row.name}.y`);
  near(run.get(dx), `${row.name}.dx`);
}

const useOf: Record<string, RuleUse> = { bp, linbp, guided, deconvnet, 'leaky_0.25': leaky(0.25), 'softplus_0.5': softplus(0.5), silu: silu() };

function ruleRow(row: Row & { readonly rules?: string[] }): void {
  for (const name of row.rules!) {
    const graph = new Graph();
    const z = graph.input('z', [16, 1]);
    const g = graph.input('g', [16, 1]);
    const kind = row.name as 'relu' | 'relu6';
    const [y, mask] = graph.add('relu', [z], { kind, mask: true }) as [Tensor, Tensor];
    const use = useOf[name]!;
    const saved = { nothing: [], mask: [mask], input: [z] }[use.rule.saves];
    const dz = graph.one('reluBackward', [g, ...saved], { kind, rule: use });
    const run = evaluate(graph, [
      [z, values(`${row.name}.z`)],
      [g, values(`${row.name}.g`)],
    ]);
    near(run.get(y), `${row.name}.y`);
    near(run.get(dz), `${row.name}.dz.${name}`);
  }
}

const lossKinds: Record<string, LossKind> = { cross_entropy_sum: 'crossEntropy', dlr_sum: 'dlr', margin_sum: 'margin' };

function lossRow(row: Row): void {
  const kind = lossKinds[row.op]!;
  const graph = new Graph();
  const x = graph.input('x', row.x);
  const labels = graph.input('labels', [row.x[0]!], 'u32');
  const loss = graph.one('loss', [x, labels], { kind });
  const dx = graph.one('lossBackward', [x, labels], { kind, scale: 1 });
  const bounds: [number, number] = kind === 'crossEntropy' ? [-row.scale!, row.scale!] : [-4, 4];
  const run = evaluate(graph, [
    [x, formula(`${row.name}.x`, elementCount(row.x), ...bounds)],
    [labels, values(`${row.name}.labels`)],
  ]);
  near(run.get(loss), `${row.name}.loss`);
  near(run.get(dx), `${row.name}.dx`);
}

const checks: Record<string, (row: Row) => void> = {
  conv2d: weightRow,
  linear: weightRow,
  max_pool2d: poolRow,
  avg_pool2d: poolRow,
  adaptive_avg_pool2d: poolRow,
  relu_rules: ruleRow,
  relu6_rules: ruleRow,
  cross_entropy_sum: lossRow,
  dlr_sum: lossRow,
  margin_sum: lossRow,
};

describe('reference: golden operations', () => {
  for (const row of rows) {
    const check = checks[row.op];
    if (check !== undefined) it(row.name, () => check(row));
  }
});

describe('reference: golden networks', () => {
  const networks = [
    { name: 'mlp', build: mlp, table: mlpPositions },
    { name: 'lenet5', build: lenet5, table: lenet5Positions },
  ];
  for (const { name, build, table } of networks) {
    for (const rule of ['bp', 'linbp']) {
      it(`${name}, ${rule}`, () => {
        const file = loadGolden(`${name}.eval`);
        const expected = (key: string): ArrayLike<number> => goldenValues(file, key);
        const network = build(8);
        const targets = [network.input, ...network.parameters.values()];
        const found = gradients(network.graph, { loss: network.loss, scale: 1 / 8, targets, rules: resolveRules(parseRules(rule), table) });
        const run: ReferenceRun = evaluate(network.graph, [
          ...network.weights,
          [network.input, expected('input')],
          [network.labels, expected('labels')],
        ]);
        const same = (actual: ArrayLike<number>, key: string): void => {
          expect(relativeError(actual, expected(`${rule}.${key}`)), key).to.be.below(bound);
        };
        same(run.get(network.logits), 'logits');
        same([Array.from(run.get(network.loss)).reduce((sum, value) => sum + value, 0) / 8], 'loss');
        same(run.get(found.get(network.input)!), 'grad.input');
        for (const [key, parameter] of network.parameters) {
          const gradient = run.get(found.get(parameter)!);
          same(gradient.slice(0, 32), `grad.${key}.head`);
          same([Math.sqrt(Array.from(gradient).reduce((sum, value) => sum + value * value, 0))], `grad.${key}.norm`);
        }
      });
    }
  }
});
