import { Attack } from '../attacks/attack.js';
import { fromArrays } from '../data/dataset.js';
import { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, Tensor } from '../graph/types.js';
import { Model } from '../nn/model.js';
import { ModelPlace } from '../nn/place.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { Program } from '../program/program.js';
import { parseRules } from '../rules/parse.js';
import { resolveRules } from '../rules/resolve.js';
import { addModel, positionTable } from '../nn/definition.js';
import { Device } from '../runtime/device.js';
import { Engine } from '../train/engine.js';
import { resolveLossScale } from '../train/lossScale.js';
import { sgd } from '../train/optimizers.js';
import type { AttackWorkload, ForwardWorkload, Party, PartyTask, PlainWeights, TrainingWorkload } from './party.js';

let opened: Promise<Device> | undefined;
const theDevice = (): Promise<Device> => (opened ??= Device.open());

/** Elements of a result that are compared. */
const compared = 256;

/** Units that one run does at most. */
const logRows = 64;

function loadModel(device: Device, name: string, weights: PlainWeights): Model {
  const model = Model.create(modelDefinition(name), { device });
  model.setStateDict(new Map(Object.entries(weights)));
  return model;
}

async function openTraining(device: Device, work: TrainingWorkload): Promise<PartyTask> {
  const definition = modelDefinition(work.model);
  const model = loadModel(device, work.model, work.weights);
  const { batch, batches, images, labels, imageShape, lr, precision } = work;
  const dataset = fromArrays({ shape: [batch * batches, ...imageShape], classes: definition.classes, images, labels });
  const optimizer = sgd({ lr });
  const rules = resolveRules(parseRules('bp'), positionTable(definition));
  const half = precision === 'f16' ? { lossScale: resolveLossScale({}) } : {};
  const settings = {
    definition,
    rules,
    optimizer,
    loss: 'crossEntropy',
    objective: undefined,
    seed: 1,
    logRows,
    precision,
    ...half,
  } as const;
  const engine = await Engine.create(new ModelPlace(model, 'gpu'), settings, dataset, batch);
  engine.setOrder(Uint32Array.from({ length: batch * batches }, (_, i) => i));
  const losses: number[] = [];
  return {
    async run(units) {
      for (let left = units; left > 0;) {
        const count = Math.min(left, logRows);
        const first = losses.length;
        const steps = Array.from({ length: count }, (_, i) => ({
          start: ((first + i) % batches) * batch,
          size: batch,
          fields: { step: first + i + 1, ...optimizer.fields(first + i + 1, lr) },
        }));
        const { log } = await engine.run(steps);
        for (let i = 0; i < count; i++) losses.push(log[2 * i]! / batch);
        left -= count;
      }
    },
    result: () => Promise.resolve(losses),
    close() {
      engine.destroy();
      model.destroy();
    },
  };
}

/** A one-segment program whose output `result` is compared. */
async function openProgram(
  device: Device,
  graph: Graph,
  inputs: ReadonlyMap<Tensor, Float32Array>,
  bindings?: ReadonlyMap<Tensor, GPUBuffer>,
): Promise<PartyTask> {
  // A repeated segment reads one row of the step table per iteration, even where no kernel looks at it.
  const program = await Program.compile(graph, {
    device,
    steps: { fields: {}, rows: logRows },
    ...(bindings !== undefined && { bindings }),
  });
  for (const [tensor, values] of inputs) program.write(tensor, values);
  return {
    async run(units) {
      for (let left = units; left > 0; left -= logRows)
        await program.run([{ segment: 'main', repeat: Math.min(left, logRows) }]);
      await device.idle();
    },
    result: async () => (await program.read('result')).subarray(0, compared),
    close: () => program.destroy(),
  };
}

async function openForward(device: Device, work: ForwardWorkload): Promise<PartyTask> {
  const model = loadModel(device, work.model, work.weights);
  const graph = new Graph();
  const images = graph.input('images', [work.batch, ...work.imageShape]);
  const network = addModel(graph, modelDefinition(work.model), images);
  graph.output('result', network.logits);
  const pixels = Float32Array.from(work.images, (byte) => byte / 255);
  const task = await openProgram(device, graph, new Map([[images, pixels]]), model.bindings(network));
  return {
    ...task,
    close() {
      task.close();
      model.destroy();
    },
  };
}

const fused: ElementwiseFunction = {
  name: 'benchmark',
  inputs: ['x', 'y'],
  scalars: [],
  results: ['max(x * y + x, 0.0)'],
  reference: (x, y) => [Math.max(x! * y! + x!, 0)],
};

async function openAttack(device: Device, work: AttackWorkload): Promise<PartyTask> {
  const { batch, steps, eps, alpha, precision } = work;
  const model = loadModel(device, work.model, work.weights);
  const attack = await Attack.compile({
    model,
    attack: 'pgd',
    eps,
    alpha,
    steps,
    batch,
    randomStart: false,
    keep: 'last',
    precision,
  });
  const images = Float32Array.from(work.images, (byte) => byte / 255);
  let losses: Float32Array = new Float32Array(0);
  return {
    async run(units) {
      for (let unit = 0; unit < units; unit++) {
        const result = await attack.run({ images, labels: work.labels });
        losses = result.losses.slice(steps * batch);
      }
    },
    result: () => Promise.resolve(losses),
    close() {
      attack.destroy();
      model.destroy();
    },
  };
}

/** linbp itself, as a user would call it. */
const party: Party = {
  async open(work) {
    const device = await theDevice();
    switch (work.kind) {
      case 'training':
        return openTraining(device, work);
      case 'attack':
        return openAttack(device, work);
      case 'forward':
        return openForward(device, work);
      case 'matmul': {
        const graph = new Graph();
        const shape = [work.size, work.size];
        const [a, b] = [graph.input('a', shape), graph.input('b', shape)];
        graph.output('result', graph.one('matmul', [a, b], { transposeA: false, transposeB: false }));
        return openProgram(device, graph, new Map([[a, work.a], [b, work.b]])); // prettier-ignore
      }
      case 'product':
        // linbp's own products are measured by the device's timestamps, in products.ts.
        return undefined;
      case 'elementwise': {
        const graph = new Graph();
        const [x, y] = [graph.input('x', [1024, work.count / 1024]), graph.input('y', [1024, work.count / 1024])];
        graph.output('result', graph.one('map', [x, y], { fn: fused, scalars: [], targets: ['new'] }));
        return openProgram(device, graph, new Map([[x, work.x], [y, work.y]])); // prettier-ignore
      }
    }
  },
};

export default party;
