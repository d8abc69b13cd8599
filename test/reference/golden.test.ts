import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import type { ReferenceRun } from '../../src/reference/run.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { loadGolden } from '../support/golden.js';
import { checkedRows, goldenCheck } from '../support/goldenRows.js';
import type { Runner } from '../support/goldenRows.js';
import { lenet5, lenet5Positions, mlp, mlpPositions } from './networks.js';
import { evaluate, goldenValues, relativeError } from './support.js';

const bound = 1e-6;
const reference: Runner = { bound, run: (graph, feeds) => Promise.resolve(evaluate(graph, feeds)) };

describe('reference: golden operations', () => {
  for (const row of checkedRows) it(row.name, () => goldenCheck(row)!(reference));
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
        const found = gradients(network.graph, {
          loss: network.loss,
          scale: 1 / 8,
          targets,
          rules: resolveRules(parseRules(rule), table),
        });
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
