import { expect } from 'chai';
import { projectOnHyperplane } from '../../src/attacks/fab.js';
import type { AttackNorm } from '../../src/attacks/index.js';
import { projectOnL1 } from '../../src/attacks/sparse.js';
import type { StageContext } from '../../src/attacks/stages.js';
import { Graph } from '../../src/graph/graph.js';
import { formulaUniforms } from '../../src/io/formulaWeights.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { compareGraph } from '../support/compare.js';
import { apart, attackFixture, attackTensors, dataFolder, replay, testImages, testLabels, trained } from './replay.js';

interface Run {
  readonly model: string;
  readonly set: string;
  readonly images: readonly number[];
  readonly norm: 'Linf' | 'L2' | 'L1';
  readonly iterations: number;
  readonly untargeted: readonly (number | null)[];
  readonly targeted: readonly (readonly (number | null)[])[];
  readonly 'relative_change_when_weights_are_perturbed_by_3e-16': readonly number[];
}

const runs = attackFixture<Readonly<Record<string, Run>>>('fab');
const projections = attackFixture<Readonly<Record<string, readonly number[]>>>('projections');
const [rows, columns] = [16, 60] as const;
const formula = (key: string): Float64Array => formulaUniforms(`proj.a.${key}`, rows * columns);

describe('attacks: projections of the official code', () => {
  const x = formula('x');
  const zero = formula('zero');
  const w = formula('w').map((u, i) => (zero[i]! < 0.1 ? 0 : 2 * u - 1));

  for (const norm of ['Linf', 'L2', 'L1'] as const) {
    it(`on a hyperplane inside the box, ${norm}, also where the box does not reach it; on the device`, async () => {
      const graph = new Graph();
      const [point, normal, c] = [
        graph.input('x', [rows, columns]),
        graph.input('w', [rows, columns]),
        graph.input('c', [rows]),
      ];
      const stage = { graph, norm: norm.toLowerCase() as AttackNorm };
      const d = projectOnHyperplane(stage, point, normal, c);
      graph.output('d', d);
      const run = new ReferenceRun(graph);
      run.set(point, x);
      run.set(normal, w);
      run.set(
        c,
        projections['t']!.map((t) => -t),
      );
      run.run();
      const expected = projections[`d.${norm}`]!;
      run.get(d).forEach((value, i) => expect(value, `entry ${i}`).to.be.closeTo(expected[i]!, 1e-9));
      const feeds = new Map([
        [point, Float32Array.from(x)],
        [normal, Float32Array.from(w)],
        [c, Float32Array.from(projections['t']!, (t) => -t)],
      ]);
      for (const { error } of await compareGraph(graph, feeds)) expect(error).to.be.below(1e-5);
    });
  }

  for (const radius of [1, 4, 12]) {
    it(`on the L1 ball of radius ${radius} inside the box; on the device, too`, async () => {
      const graph = new Graph();
      const [point, clean] = [graph.input('v', [rows, columns]), graph.input('x', [rows, columns])];
      const z = projectOnL1({ graph, clean } as StageContext, point, radius);
      graph.output('z', z);
      const v = formula('y').map((u, i) => x[i]! + (2 * u - 1) / 2);
      const run = new ReferenceRun(graph);
      run.set(point, v);
      run.set(clean, x);
      run.run();
      const expected = projections[`l1ball.${radius}`]!;
      run.get(z).forEach((value, i) => expect(value - x[i]!, `entry ${i}`).to.be.closeTo(expected[i]!, 1e-9));
      const feeds = new Map([
        [point, Float32Array.from(v)],
        [clean, Float32Array.from(x)],
      ]);
      for (const { error } of await compareGraph(graph, feeds)) expect(error).to.be.below(1e-5);
    });
  }
});

describe('attacks: FAB equals the official code in float64', () => {
  for (const [name, run] of Object.entries(runs)) {
    for (const [count, targets, slow] of [
      [1, 2, !name.startsWith('mlp')],
      [run.images.length, 9, true],
    ] as const) {
      const title = `${name}: distances of ${count} images, to the nearest class and to ${targets} classes`;
      it(`${title}${slow ? ' @slow' : ''}`, async function () {
        if (dataFolder === '' || (slow && process.env['LINBP_SLOW'] === undefined)) return this.skip();
        this.timeout(1_800_000);
        const chosen = run.images.slice(0, count);
        const [images, labels] = [await testImages(run.set, chosen), await testLabels(run.set, chosen)];
        const common = {
          model: await trained(run.model),
          norm: run.norm.toLowerCase() as AttackNorm,
          steps: run.iterations,
          batch: count,
        };
        let distances: Float64Array = new Float64Array(0);
        const byRank: Float64Array[] = [];
        const nearest = await replay(
          { ...common, attack: 'fab' },
          () => [],
          (segment, valuesOf) => {
            if (segment === 'end') distances = valuesOf('distance');
          },
        );
        const { images: adversarial } = await nearest.run({ images, labels });
        let last: Float64Array = new Float64Array(0);
        const ranked = await replay(
          { ...common, attack: 'fab-t', parameters: { targets } },
          () => [],
          (segment, valuesOf) => {
            if (segment === 'move') last = valuesOf('rankDistance');
            if (segment === 'end' || (segment === 'from' && last.length > 0)) byRank.push(last);
          },
        );
        await ranked.run({ images, labels });
        for (let n = 0; n < count; n++) {
          if (run['relative_change_when_weights_are_perturbed_by_3e-16'][n]! > 1e-7) continue;
          expectDistance(distances[n]!, run.untargeted[n], `image ${chosen[n]}`);
          for (const [rank, found] of byRank.entries())
            expectDistance(found[n]!, run.targeted[n]![rank], `image ${chosen[n]}, class ${rank + 1}`);
        }
        expect(byRank).to.have.length(targets);
        // the first four images are in the file
        const given = attackTensors('fab')?.(`${name}.adv`);
        if (given === undefined) return;
        for (const { image, share } of apart(adversarial, given, images, {
          size: images.length / count,
          count: Math.min(4, count),
        }))
          if (distances[image]! < 1e9 && run['relative_change_when_weights_are_perturbed_by_3e-16'][image]! < 1e-7)
            expect(share, `final image ${chosen[image]}`).to.be.below(2e-5);
      });
    }
  }
});

/** Distances beyond any image stand for none. */
function expectDistance(found: number, expected: number | null | undefined, message: string): void {
  if (expected === null || expected === undefined || expected < 0) expect(found, message).to.be.greaterThan(1e9);
  else expect(found, message).to.be.closeTo(expected, 1e-6 * expected);
}
