import { expect } from 'chai';
import { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { Program } from '../../src/program/program.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { adam, adamw, sgd } from '../../src/train/optimizers.js';
import type { Optimizer } from '../../src/train/optimizers.js';
import { constant, cosine, exponential } from '../../src/train/schedules.js';
import { randomArray, relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';

const count = 1000;

function updateGraph(optimizer: Optimizer) {
  const graph = new Graph();
  const parameters = graph.parameter('parameters', [count]);
  const gradients = graph.state('gradients', [count]);
  const states = optimizer.states.map((name) => graph.state(name, [count]));
  optimizer.emit(graph, { parameters, gradients, states });
  return { graph, parameters, gradients, states };
}

/** Parameters after a few steps with the same gradient. */
function referenceSteps(optimizer: Optimizer, w: Float32Array, g: Float32Array, steps: number): Float64Array {
  const { graph, parameters, gradients } = updateGraph(optimizer);
  const run = new ReferenceRun(graph);
  run.set(parameters, w);
  run.set(gradients, g);
  for (let step = 1; step <= steps; step++) run.run('main', [optimizer.fields(step, optimizer.lr)]);
  return Float64Array.from(run.get(parameters));
}

const cases: Record<string, Optimizer> = {
  sgd: sgd({ lr: 0.1, weightDecay: 0.01 }),
  momentum: sgd({ lr: 0.1, momentum: 0.9 }),
  nesterov: sgd({ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 1e-3 }),
  adam: adam({ lr: 0.01, weightDecay: 0.1 }),
  adamw: adamw({ lr: 0.01, weightDecay: 0.1, betas: [0.8, 0.95], eps: 1e-6 }),
  own: {
    name: 'sign',
    lr: 0.01,
    settings: {},
    states: [],
    fields: (_step, lr) => ({ lr }),
    emit(graph, { parameters, gradients }) {
      const fn = {
        name: 'sign step',
        inputs: ['w', 'g'],
        scalars: ['lr'],
        results: ['w - lr * sign(g)'],
        reference: (...v: number[]) => [v[0]! - v[2]! * Math.sign(v[1]!)],
      };
      graph.add('map', [parameters, gradients], { fn, scalars: [{ step: 'lr' }], targets: [0] });
    },
  },
};

describe('optimizers', () => {
  for (const [name, optimizer] of Object.entries(cases)) {
    it(`${name}: one dispatch that agrees with the reference over 5 steps`, async () => {
      const [w, g] = [randomArray(count), randomArray(count)];
      const { graph, parameters, gradients } = updateGraph(optimizer);
      const fields = Object.fromEntries(Object.keys(optimizer.fields(1, 1)).map((field) => [field, 'f32' as const]));
      using program = await Program.compile(graph, { device: await sharedDevice(), steps: { fields, rows: 5 } });
      expect(program.dispatches).to.have.length(1);
      program.write(parameters, w);
      program.write(gradients, g);
      for (let row = 0; row < 5; row++) program.steps.set(row, optimizer.fields(row + 1, optimizer.lr));
      program.uploadSteps();
      await program.run([{ segment: 'main', repeat: 5 }]);
      expect(relativeError(await program.read(parameters), referenceSteps(optimizer, w, g, 5))).to.be.below(1e-6);
    });
  }

  it('momentum over a constant gradient has its closed form', () => {
    const [w, g] = [randomArray(count), randomArray(count)];
    // v_k = g (1 - mu^k) / (1 - mu), so the steps sum to lr g (n - mu (1 - mu^n) / (1 - mu)) / (1 - mu).
    const [n, mu, lr] = [7, 0.9, 0.1];
    const factor = (lr * (n - (mu * (1 - mu ** n)) / (1 - mu))) / (1 - mu);
    const found = referenceSteps(sgd({ lr, momentum: mu }), w, g, n);
    expect(
      relativeError(
        found,
        w.map((value, i) => value - factor * g[i]!),
      ),
    ).to.be.below(1e-6);
  });

  it("Adam's first step moves every weight by the learning rate against the sign of its gradient", () => {
    const [w, g] = [randomArray(count), randomArray(count).map((value) => value + Math.sign(value))];
    const found = referenceSteps(adam({ lr: 0.01 }), w, g, 1);
    expect(
      relativeError(
        found,
        w.map((value, i) => value - 0.01 * Math.sign(g[i]!)),
      ),
    ).to.be.below(1e-6);
  });

  it('AdamW without a gradient only decays', () => {
    const w = randomArray(count);
    const found = referenceSteps(adamw({ lr: 0.1, weightDecay: 0.5 }), w, new Float32Array(count), 3);
    expect(
      relativeError(
        found,
        w.map((value) => value * 0.95 ** 3),
      ),
    ).to.be.below(1e-6);
  });

  it('refuses settings out of range', () => {
    const bad: [() => unknown, string][] = [
      [() => sgd({ lr: 0 }), 'lr'],
      [() => sgd({ lr: NaN }), 'lr'],
      [() => sgd({ lr: 1, momentum: 1 }), 'momentum'],
      [() => sgd({ lr: 1, momentum: -0.1 }), 'momentum'],
      [() => sgd({ lr: 1, weightDecay: -1 }), 'weightDecay'],
      [() => sgd({ lr: 1, nesterov: true }), 'nesterov'],
      [() => adam({ betas: [0.9, 1] }), 'betas[1]'],
      [() => adam({ eps: 0 }), 'eps'],
      [() => adamw({ lr: Infinity }), 'lr'],
      [() => exponential(0), 'gamma'],
      [() => cosine(0), 'maxEpochs'],
    ];
    for (const [make, field] of bad) {
      expect(make, field).to.throw(LinbpError).with.property('field', field);
    }
  });
});

describe('schedules', () => {
  it('constant, exponential and cosine', () => {
    expect(constant().rate(0.3, 50)).to.equal(0.3);
    expect(exponential(0.98).rate(0.005, 49) / 0.005).to.be.closeTo(0.3716, 1e-4);
    expect(cosine(200).rate(0.005, 0)).to.equal(0.005);
    expect(cosine(200).rate(0.005, 99)).to.be.closeTo(0.0025393, 1e-7);
    expect(cosine(200).rate(0.005, 200)).to.be.closeTo(0, 1e-18);
  });
});
