import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { elementCount } from '../../src/graph/types.js';
import type { ConvAttrs, LossKind, PoolAttrs, Tensor } from '../../src/graph/types.js';
import { bp, deconvnet, guided, leaky, linbp, silu, softplus } from '../../src/rules/builtin.js';
import type { BoundRule } from '../../src/graph/rule.js';
import { formula, goldenValues, relativeError } from '../reference/support.js';
import { loadGolden, loadGoldenJson } from './golden.js';

export interface GoldenRow {
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

const golden = loadGolden('ops');
export const goldenRows = loadGoldenJson<GoldenRow[]>('ops');
const values = (key: string): ArrayLike<number> => goldenValues(golden, key);

/** Results of a run by tensor. */
export interface Results {
  get(tensor: Tensor): ArrayLike<number>;
}

/** Something that runs a graph's `main` segment: the float64 reference or a device. */
export interface Runner {
  readonly bound: number;
  run(graph: Graph, feeds: readonly (readonly [Tensor, ArrayLike<number>])[]): Promise<Results>;
}

const pair = (value: number | [number, number] | undefined): [number, number] =>
  typeof value === 'number' ? [value, value] : value!;
const both = (value: number | [number, number] | undefined): [number, number, number, number] => [
  ...pair(value),
  ...pair(value),
];

const near = (runner: Runner, actual: ArrayLike<number>, key: string): void => {
  expect(relativeError(actual, values(key)), key).to.be.below(runner.bound);
};

async function weightRow(row: GoldenRow, runner: Runner): Promise<void> {
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
    tensors = [
      y,
      g,
      graph.one('linearInputGradient', [g, w], {}),
      ...graph.add('linearWeightGradient', [g, x], { bias: row.bias! }),
    ];
  } else {
    const attrs: ConvAttrs = {
      stride: pair(row.stride),
      padding: both(row.padding),
      dilation: row.dilation!,
      groups: row.groups!,
    };
    const y = graph.one('conv2d', [x, w, ...b], attrs);
    const g = graph.input('g', y.shape);
    const dx = graph.one('conv2dInputGradient', [g, w], { ...attrs, inputShape: row.x });
    tensors = [
      y,
      g,
      dx,
      ...graph.add('conv2dWeightGradient', [g, x], { ...attrs, weightShape: row.w!, bias: row.bias! }),
    ];
  }
  const [y, g, dx, dw, db] = tensors as [Tensor, Tensor, Tensor, Tensor, Tensor?];
  const run = await runner.run(graph, [...inputs, [g, formula(`${row.name}.g`, elementCount(g.shape), -1, 1)]]);
  near(runner, run.get(y), `${row.name}.y`);
  near(runner, run.get(dx), `${row.name}.dx`);
  near(runner, run.get(dw), `${row.name}.dw`);
  if (db !== undefined) near(runner, run.get(db), `${row.name}.db`);
}

async function poolRow(row: GoldenRow, runner: Runner): Promise<void> {
  const graph = new Graph();
  const x = graph.input('x', row.x);
  const attrs = (): PoolAttrs => ({
    kernel: pair(row.kernel),
    stride: pair(row.stride),
    padding: both(row.padding),
    ceilMode: false,
  });
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
  const run = await runner.run(graph, [
    [x, values(`${row.name}.x`)],
    [g, formula(`${row.name}.g`, elementCount(g.shape), -1, 1)],
  ]);
  near(runner, run.get(y), `${row.name}.y`);
  near(runner, run.get(dx), `${row.name}.dx`);
}

const useOf: Record<string, BoundRule> = {
  bp,
  linbp,
  guided,
  deconvnet,
  'leaky_0.25': leaky(0.25),
  'softplus_0.5': softplus(0.5),
  silu: silu(),
};

async function ruleRow(row: GoldenRow & { readonly rules?: string[] }, runner: Runner): Promise<void> {
  for (const name of row.rules!) {
    const graph = new Graph();
    const z = graph.input('z', [16, 1]);
    const g = graph.input('g', [16, 1]);
    const kind = row.name as 'relu' | 'relu6';
    const [y, mask] = graph.add('activation', [z], { kind, mask: true }) as [Tensor, Tensor];
    const use = useOf[name]!;
    const saved = { nothing: [], mask: [mask], input: [z] }[use.rule.saves];
    const dz = graph.one('activationBackward', [g, ...saved], { kind, rule: use });
    const run = await runner.run(graph, [
      [z, values(`${row.name}.z`)],
      [g, values(`${row.name}.g`)],
    ]);
    near(runner, run.get(y), `${row.name}.y`);
    near(runner, run.get(dz), `${row.name}.dz.${name}`);
  }
}

const lossKinds: Record<string, LossKind> = { cross_entropy_sum: 'crossEntropy', dlr_sum: 'dlr', margin_sum: 'margin' };

async function lossRow(row: GoldenRow, runner: Runner): Promise<void> {
  const kind = lossKinds[row.op]!;
  const graph = new Graph();
  const x = graph.input('x', row.x);
  const labels = graph.input('labels', [row.x[0]!], 'u32');
  const loss = graph.one('loss', [x, labels], { kind });
  const dx = graph.one('lossBackward', [x, labels], { kind, scale: 1 });
  const bounds: [number, number] = kind === 'crossEntropy' ? [-row.scale!, row.scale!] : [-4, 4];
  const run = await runner.run(graph, [
    [x, formula(`${row.name}.x`, elementCount(row.x), ...bounds)],
    [labels, values(`${row.name}.labels`)],
  ]);
  near(runner, run.get(loss), `${row.name}.loss`);
  near(runner, run.get(dx), `${row.name}.dx`);
}

const checks: Record<string, (row: GoldenRow, runner: Runner) => Promise<void>> = {
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

/** The comparison of a row with the golden values, if the row's op is known here. */
export function goldenCheck(row: GoldenRow): ((runner: Runner) => Promise<void>) | undefined {
  const check = checks[row.op];
  return check === undefined ? undefined : (runner) => check(row, runner);
}

/** The rows whose op is known here, by name. */
export const checkedRows = goldenRows.filter((row) => checks[row.op] !== undefined);
