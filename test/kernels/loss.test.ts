import { expect } from 'chai';
import { Graph } from '../../src/graph/graph.js';
import { targetedLosses } from '../../src/graph/types.js';
import type { LossKind, Tensor } from '../../src/graph/types.js';
import { checkGraph, keep, randomInt, randomValues, randomWords, runGraph } from '../support/dispatch.js';

interface LossGraph {
  readonly graph: Graph;
  readonly logits: Tensor;
  readonly labels: Tensor;
  readonly targets: Tensor;
  readonly loss: Tensor;
  readonly gradient: Tensor;
}

function lossGraph(kind: LossKind, batch: number, classes: number, scale = 1): LossGraph {
  const graph = new Graph();
  const logits = graph.input('logits', [batch, classes]);
  const labels = graph.input('labels', [batch], 'u32');
  const targets = graph.input('targets', [batch], 'u32');
  const inputs = targetedLosses.has(kind) ? [logits, labels, targets] : [logits, labels];
  const loss = graph.one('loss', inputs, { kind });
  const gradient = graph.one('lossBackward', inputs, { kind, scale });
  keep(graph, loss, gradient, graph.one('correct', [logits, labels], {}));
  return { graph, logits, labels, targets, loss, gradient };
}

/**
 * Norms below which errors count absolutely: the float64 reference's own cancellation for cross entropy, and for DLR
 * the terms 1 / range, which cancel where the label has the third rank of three.
 */
const floors: Record<LossKind, number> = {
  crossEntropy: 1e-8,
  crossEntropyRounded: 2e-2,
  margin: 1e-30,
  dlr: 1e-3,
  logit: 1e-30,
  logitMargin: 1e-8,
  dlrTargeted: 1e-3,
  logitDifference: 1e-30,
};

const kinds = Object.keys(floors) as LossKind[];
/** Losses that divide by differences of ranks, where ties are made separately. */
const ratios: ReadonlySet<LossKind> = new Set<LossKind>(['dlr', 'dlrTargeted', 'logitMargin']);

/** More classes than a workgroup has lanes take the same way for every loss: this one stands for all. */
const fastest: LossKind = 'crossEntropy';

describe('loss kernels', () => {
  for (const kind of kinds) {
    for (const classes of [2, 3, 10, 64, 65, 1000]) {
      const tag = classes > 64 && kind !== fastest ? ' @slow' : '';
      if (classes < ({ dlr: 3, dlrTargeted: 4 } as Partial<Record<LossKind, number>>)[kind]!) continue;
      it(`${kind} of ${classes} classes: loss, gradient, correct samples, ties and large logits${tag}`, async () => {
        for (const batch of [1, 7, 64]) {
          const { graph, logits, labels, targets } = lossGraph(kind, batch, classes, 0.125);
          const count = batch * classes;
          // smooth, tied (3 levels; DLR divides by the range of the ranks, so ties there are made separately), and
          // large logits
          for (const values of [
            randomValues(count),
            ...(ratios.has(kind) ? [] : [randomValues(count, 2, 3)]),
            randomValues(count, 200),
          ]) {
            await checkGraph(graph, {
              data: new Map<Tensor, Float32Array | Uint32Array>([
                [logits, values],
                [labels, randomWords(batch, classes)],
                [targets, randomWords(batch, classes)],
              ]),
              floor: floors[kind],
            });
          }
        }
      });
    }

    for (const classes of [10, 129]) {
      const tag = classes > 64 && kind !== fastest ? ' @slow' : '';
      it(`${kind} of ${classes} classes: a sample does not depend on its batch${tag}`, async () => {
        const values = randomValues(5 * classes, 4);
        const targets = randomWords(5, classes);
        const run = async (first: number, batch: number): Promise<{ losses: number[]; gradients: number[] }> => {
          const { graph, logits, labels, targets: goals, loss, gradient } = lossGraph(kind, batch, classes);
          const data = new Map<Tensor, Float32Array | Uint32Array>([
            [logits, values.subarray(first * classes, (first + batch) * classes)],
            [labels, targets.subarray(first, first + batch)],
            [goals, targets.subarray(first, first + batch).map((k) => (k + 1) % classes)],
          ]);
          const { results } = await runGraph(graph, { data });
          return { losses: [...results(loss)], gradients: [...results(gradient)] };
        };
        const parts = [await run(0, 2), await run(2, 1), await run(3, 2)];
        const whole = await run(0, 5);
        expect(parts.flatMap(({ losses }) => losses)).to.deep.equal(whole.losses);
        expect(parts.flatMap(({ gradients }) => gradients)).to.deep.equal(whole.gradients);
      });
    }
  }

  it('at a confident label the gradient is minus the sum of the others, 0 where rounded as in frameworks', async () => {
    const found: number[] = [];
    for (const kind of ['crossEntropy', 'crossEntropyRounded'] as const) {
      const { graph, logits, labels, gradient } = lossGraph(kind, 1, 10);
      const data = new Map<Tensor, Float32Array | Uint32Array>([
        [logits, Float32Array.from({ length: 10 }, (_, k) => (k === 3 ? 20 : 0))],
        [labels, Uint32Array.of(3)],
      ]);
      found.push((await runGraph(graph, { data })).results(gradient)[3]!);
    }
    expect(found[0]).to.be.closeTo(-9 * Math.exp(-20), 1e-12);
    expect(Math.abs(found[1]!)).to.equal(0);
  });

  it('dlr takes the lower class among equals', async () => {
    const { graph, logits, labels } = lossGraph('dlr', 4, 5);
    const values = Float32Array.from([3, 3, 1, 0, 0, 1, 3, 3, 2, 1, 0, 2, 5, 2, 2, 4, 4, 1, 1, 1]);
    for (let y = 0; y < 5; y++) {
      await checkGraph(graph, {
        data: new Map<Tensor, Float32Array | Uint32Array>([
          [logits, values],
          [labels, new Uint32Array(4).fill(y)],
        ]),
      });
    }
  });

  it('dlr of a label in third place goes on: from it to the first class, in any scale of the logits', async () => {
    const { graph, logits, labels, loss, gradient } = lossGraph('dlr', 2, 5);
    const values = [0.3, 1, 2.7, -4, 0.1];
    const data = new Map<Tensor, Float32Array | Uint32Array>([
      [logits, Float32Array.from([...values, ...values.map((value) => value * 2 ** -40)])],
      [labels, Uint32Array.of(0, 0)],
    ]);
    const { results } = await runGraph(graph, { data });
    expect([...results(loss)]).to.deep.equal([1, 1]);
    const found = results(gradient);
    for (const n of [0, 1]) {
      const own = found.subarray(5 * n, 5 * n + 5);
      expect([...own].map(Math.sign)).to.deep.equal([-1, 0, 1, 0, 0]);
      expect(own[2]! / found[2]!).to.equal(2 ** (80 * n));
      expect(own[0]).to.equal(-own[2]!);
    }
    expect(found[2]! / (1e-12 / 2.4 ** 2)).to.be.closeTo(1, 1e-6);
  });

  it('dlr of equal logits is finite', async () => {
    const { graph, logits, labels, loss, gradient } = lossGraph('dlr', 1, 10);
    const data = new Map<Tensor, Float32Array | Uint32Array>([
      [logits, new Float32Array(10).fill(2)],
      [labels, new Uint32Array([4])],
    ]);
    const { results } = await runGraph(graph, { data });
    expect([...results(loss), ...results(gradient)].every(Number.isFinite)).to.equal(true);
  });

  it('cross entropy of confident samples: full relative accuracy, and a gradient that sums to zero', async () => {
    for (const classes of [10, 500]) {
      const margins = [1, 10, 17, 30, 60, 80];
      const { graph, logits, labels, loss, gradient } = lossGraph('crossEntropy', margins.length, classes);
      const values = randomValues(margins.length * classes, 0.5);
      const targets = Uint32Array.from(margins, () => randomInt(0, classes - 1));
      margins.forEach((margin, n) => (values[n * classes + targets[n]!] = margin));
      const data = new Map<Tensor, Float32Array | Uint32Array>([
        [logits, values],
        [labels, targets],
      ]);
      const { results } = await runGraph(graph, { data });
      margins.forEach((margin, n) => {
        const row = [...results(gradient).subarray(n * classes, (n + 1) * classes)];
        const weights = [...values.subarray(n * classes, (n + 1) * classes)].map((z, k) =>
          k === targets[n] ? 0 : Math.exp(z - margin),
        );
        const others = weights.reduce((a, b) => a + b, 0);
        expect(results(loss)[n]! / Math.log1p(others), `loss at margin ${margin}`).to.be.closeTo(1, 1e-5);
        expect(-row[targets[n]!]! / (others / (1 + others)), `gradient at margin ${margin}`).to.be.closeTo(1, 1e-5);
        expect(row.reduce((a, b) => a + b, 0) / others, `sum at margin ${margin}`).to.be.closeTo(0, 1e-5);
      });
    }
  });
});
