import { expect } from 'chai';
import { gradients } from '../../src/autodiff/gradients.js';
import type { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { addModel, positionTable } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { Program } from '../../src/program/program.js';
import type { ActivationKind } from '../../src/graph/rule.js';
import { parseRules } from '../../src/rules/parse.js';
import { resolveRules } from '../../src/rules/resolve.js';
import { sharedDevice } from '../support/device.js';

const z = [-2, 0, 3, 6, 7, 8.5];

/** One activation alone; what it answers is the logits. */
const single = (kind: ActivationKind): ModelDefinition => ({
  name: 'single',
  input: [6, 1, 1],
  classes: 6,
  build: (net, x) => net.relu('act', net.flatten(x), { kind }),
});

function built(kind: ActivationKind, rule: string) {
  const graph = new Graph();
  const [images, labels] = [graph.input('images', [1, 6, 1, 1]), graph.input('labels', [1], 'u32')];
  const { logits } = addModel(graph, single(kind), images, { stores: { parameters: images, buffers: undefined } });
  const loss = graph.one('loss', [logits, labels], { kind: 'crossEntropy' });
  const rules = resolveRules(parseRules(rule), positionTable(single(kind)));
  const found = gradients(graph, { loss, scale: 1, targets: [images, logits], rules });
  const results = { logits, dz: found.get(images)!, dy: found.get(logits)! };
  for (const [name, tensor] of Object.entries(results)) graph.output(name, tensor);
  return { graph, images, labels, results };
}

/** Values of one activation and its gradients on the device and in float64. */
async function both(kind: ActivationKind, rule: string): Promise<Record<'logits' | 'dz' | 'dy', number[]>[]> {
  const { graph, images, labels, results } = built(kind, rule);
  using program = await Program.compile(graph, { device: await sharedDevice() });
  const run = new ReferenceRun(graph);
  program.write(images, Float32Array.from(z));
  program.write(labels, Uint32Array.of(2));
  run.set(images, z);
  run.set(labels, [2]);
  await program.run([{ segment: 'main' }]);
  run.run();
  const [logits, dz, dy] = [await program.read('logits'), await program.read('dz'), await program.read('dy')].map(
    (each) => Array.from(each),
  );
  const of = (name: keyof typeof results): number[] => Array.from(run.get(results[name]));
  return [
    { logits: logits!, dz: dz!, dy: dy! },
    { logits: of('logits'), dz: of('dz'), dy: of('dy') },
  ];
}

describe("the official code's ReLU6 under LinBP", function () {
  this.timeout(120_000);

  it('answers 0, 0, 3, 6, 8, 11 where a ReLU6 answers 0, 0, 3, 6, 6, 6; both pass the gradient as it is', async () => {
    for (const [kind, expected] of [
      ['relu6Official', [0, 0, 3, 6, 8, 11]],
      ['relu6', [0, 0, 3, 6, 6, 6]],
    ] as const) {
      for (const { logits, dz, dy } of await both(kind, 'linbp:from=all')) {
        expect(logits).to.deep.equal(expected);
        expect(dz).to.deep.equal(dy);
        expect(Math.min(...dy.map(Math.abs)), 'no gradient of the loss vanishes').to.be.above(0);
      }
    }
  });

  it('is refused under any other rule, and stands in no network but the one named after it', () => {
    for (const rule of [
      'bp',
      'guided',
      'leaky:a=0.5',
      'silu',
      'linbp:from=all,match=activation',
      'linbp:from=all+bp',
    ]) {
      expect(() => built('relu6Official', rule), rule)
        .to.throw(/under LinBP only/)
        .with.property('code', 'bad-argument' satisfies LinbpError['code']);
    }
    const changed = (name: string): string[] =>
      positionTable(modelDefinition(name))
        .positions.filter(({ activation }) => activation === 'relu6Official')
        .map((position) => position.name);
    expect(changed('mobilenet_v2')).to.deep.equal([]);
    expect(changed('mobilenet_v2_official')).to.deep.equal(modelDefinition('mobilenet_v2').presets!['default']);
  });
});
