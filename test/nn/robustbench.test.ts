import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { LinbpError } from '../../src/errors.js';
import { Graph } from '../../src/graph/graph.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import type { TensorToWrite } from '../../src/io/safetensors.js';
import { addModel, describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { fitsStateDict, Model, readStateDict } from '../../src/nn/model.js';
import { modelDefinition, robustbenchNames } from '../../src/nn/zoo/index.js';
import { commonForm, deepMindForm, deepMindWide, preActivation } from '../../src/nn/zoo/robustbench.js';
import { wideResidual } from '../../src/nn/zoo/wideResidual.js';
import { ReferenceRun } from '../../src/reference/run.js';
import { relativeError } from '../support/compare.js';
import { sharedDevice } from '../support/device.js';
import { formulaStores } from './support.js';

/** Channels of one image in float64. */
type Maps = readonly Float64Array[];

/** PyTorch's layers on one image, by state-dict key, as plainly as they can be written. */
class Plain {
  readonly used = new Set<string>();
  private readonly shapes: ReadonlyMap<string, readonly number[]>;

  constructor(definition: ModelDefinition) {
    this.shapes = new Map(describeModel(definition).layout.specs.map(({ name, shape }) => [name, shape]));
  }

  private weight(key: string, kind: Parameters<typeof formulaTensor>[2]): Float32Array {
    this.used.add(key);
    return formulaTensor(key, this.shapes.get(key) ?? expect.fail(`there is no ${key}`), kind);
  }

  /** `before` and `after`: rows and columns of zeros on either side. */
  conv(key: string, x: Maps, kernel: number, stride = 1, before = (kernel - 1) >> 1, after = before): Maps {
    const weight = this.weight(`${key}.weight`, 'weight');
    const side = Math.sqrt(x[0]!.length);
    const size = Math.floor((side + before + after - kernel) / stride) + 1;
    return Array.from({ length: weight.length / (x.length * kernel * kernel) }, (_, o) =>
      Float64Array.from({ length: size * size }, (_, at) => {
        let sum = 0;
        for (const [c, map] of x.entries())
          for (let i = 0; i < kernel; i++) {
            const row = Math.floor(at / size) * stride + i - before;
            for (let j = 0; j < kernel && row >= 0 && row < side; j++) {
              const column = (at % size) * stride + j - before;
              if (column < 0 || column >= side) continue;
              sum += weight[((o * x.length + c) * kernel + i) * kernel + j]! * map[row * side + column]!;
            }
          }
        return sum;
      }),
    );
  }

  norm(key: string, x: Maps): Maps {
    const [gamma, beta, mean, variance] = (
      [
        ['weight', 'bn.weight'],
        ['bias', 'bn.bias'],
        ['running_mean', 'bn.running_mean'],
        ['running_var', 'bn.running_var'],
      ] as const
    ).map(([suffix, kind]) => this.weight(`${key}.${suffix}`, kind)) as Float32Array[];
    return x.map((map, c) =>
      map.map((v) => ((v - mean![c]!) / Math.sqrt(variance![c]! + 1e-5)) * gamma![c]! + beta![c]!),
    );
  }

  pooled(key: string, x: Maps): number[] {
    const [weight, bias] = [this.weight(`${key}.weight`, 'weight'), this.weight(`${key}.bias`, 'bias')];
    const means = x.map((map) => map.reduce((a, b) => a + b) / map.length);
    return Array.from(bias, (b, o) => means.reduce((sum, mean, c) => sum + mean * weight[o * means.length + c]!, b));
  }
}

const relu = (x: Maps): Maps => x.map((map) => map.map((v) => Math.max(v, 0)));
const silu = (x: Maps): Maps => x.map((map) => map.map((v) => v / (1 + Math.exp(-v))));
const plus = (a: Maps, b: Maps): Maps => a.map((map, c) => map.map((v, i) => v + b[c]![i]!));

type Forward = (net: Plain, image: Maps) => number[];

/** RobustBench's WideResNet with one block a stage. */
const wide: Forward = (net, image) => {
  let x = net.conv('conv1', image, 3);
  for (const stage of [1, 2, 3]) {
    const path = `block${stage}.layer.0`;
    const stride = stage > 1 ? 2 : 1;
    const first = relu(net.norm(`${path}.bn1`, x));
    const y = net.conv(`${path}.conv2`, relu(net.norm(`${path}.bn2`, net.conv(`${path}.conv1`, first, 3, stride))), 3);
    x = plus(stage > 1 ? net.conv(`${path}.convShortcut`, first, 1, stride) : x, y);
  }
  return net.pooled('fc', relu(net.norm('bn1', x)));
};

/** DMWideResNet with one block a stage; stride 2 pads below and right only. */
const deepWide: Forward = (net, image) => {
  let x = net.conv('init_conv', image, 3);
  for (const stage of [0, 1, 2]) {
    const path = `layer.${stage}.block.0`;
    const stride = stage > 0 ? 2 : 1;
    const first = silu(net.norm(`${path}.batchnorm_0`, x));
    let y = net.conv(`${path}.conv_0`, first, 3, stride, stride === 2 ? 0 : 1, 1);
    y = net.conv(`${path}.conv_1`, silu(net.norm(`${path}.batchnorm_1`, y)), 3);
    x = plus(stage > 0 ? net.conv(`${path}.shortcut`, first, 1, stride) : x, y);
  }
  return net.pooled('logits', silu(net.norm('batchnorm', x)));
};

/** PreActResNet; `second`: PreActBlockV2, whose shortcut reads the first activation, and a batch norm at the end. */
const preAct =
  (second: boolean): Forward =>
  (net, image) => {
    let x = net.conv('conv1', image, 3);
    for (const stage of [1, 2, 3, 4])
      for (const k of [0, 1]) {
        const path = `layer${stage}.${k}`;
        const stride = stage > 1 && k === 0 ? 2 : 1;
        const first = relu(net.norm(`${path}.bn1`, x));
        const y = net.conv(
          `${path}.conv2`,
          relu(net.norm(`${path}.bn2`, net.conv(`${path}.conv1`, first, 3, stride))),
          3,
        );
        x = plus(stride === 2 ? net.conv(`${path}.shortcut.0`, second ? first : x, 1, 2) : x, y);
      }
    return net.pooled('linear', second ? relu(net.norm('bn', x)) : x);
  };

/** DMPreActResNet: 3x3 shortcuts of the raw input. */
const deepPreAct: Forward = (net, image) => {
  let x = net.conv('conv_2d', image, 3);
  for (const stage of [0, 1, 2, 3])
    for (const k of [0, 1]) {
      const path = `layer_${stage}.${k}`;
      const stride = stage > 0 && k === 0 ? 2 : 1;
      const before = stride === 2 ? 0 : 1;
      let y = net.conv(`${path}.conv_2d_1`, silu(net.norm(`${path}.batchnorm_0`, x)), 3, stride, before, 1);
      y = net.conv(`${path}.conv_2d_2`, silu(net.norm(`${path}.batchnorm_1`, y)), 3);
      x = plus(stride === 2 ? net.conv(`${path}.shortcut`, x, 3, 2, 0, 1) : x, y);
    }
  return net.pooled('logits', silu(net.norm('batchnorm', x)));
};

const widths = [4, 8, 12, 16];
const cases: readonly (readonly [string, ModelDefinition, Forward])[] = [
  ['WideResNet', wideResidual('small', 10, 1), wide],
  ['DMWideResNet with SiLU', deepMindWide('small', 10, 1, 'silu'), deepWide],
  ['PreActResNet', preActivation('small', widths, commonForm(false, false)), preAct(false)],
  ['PreActResNet, second form', preActivation('small', widths, commonForm(true, true)), preAct(true)],
  ['DMPreActResNet with SiLU', preActivation('small', widths, deepMindForm('silu')), deepPreAct],
];

describe("RobustBench's checkpoints", () => {
  const images = Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => (((i * 7919) % 8191) + 0.5) / 8191);
  const maps = [0, 1, 2].map((c) => Float64Array.from(images.subarray(1024 * c, 1024 * (c + 1))));

  for (const [title, full, forward] of cases) {
    for (const onDevice of title === 'DMWideResNet with SiLU' ? [false, true] : [false])
      it(`${title} computes what its layers say, in float64${onDevice ? ' and on the device @slow' : ''}`, async () => {
        // A quarter of the pixels: every stage is still there.
        const definition: ModelDefinition = { ...full, input: [3, 16, 16] };
        const small = maps.map((map) => map.slice(0, 256));
        const pixels = Float32Array.from(small.flatMap((map) => [...map]));
        const net = new Plain(definition);
        const expected = forward(net, small);
        const { specs } = describeModel(definition).layout;
        expect([...net.used]).to.have.members(specs.map(({ name }) => name));
        const stores = formulaStores(definition);
        const graph = new Graph();
        const input = graph.input('images', [1, ...definition.input]);
        const network = addModel(graph, definition, input);
        const run = new ReferenceRun(graph);
        run.set(input, pixels);
        run.set(network.parameters, stores.parameters);
        run.set(network.buffers!, stores.buffers);
        for (const segment of new Set(graph.nodes.map((node) => node.segment))) run.run(segment);
        expect(relativeError(run.get(network.logits), expected)).to.be.below(1e-9);
        if (!onDevice) return;
        const weights = new Map(
          specs.map(({ name, shape, kind }) => [name, { shape, data: formulaTensor(name, shape, kind) }]),
        );
        using model = Model.create({ ...definition, weights }, { device: await sharedDevice() });
        expect(relativeError(await model.logits(pixels, { batch: 1 }), expected)).to.be.below(1e-5);
      });
  }

  it('have the parameter counts of the literature', () => {
    const millions = (name: string): number => describeModel(modelDefinition(name)).parameterCount / 1e6;
    expect(millions('Carmon2019Unlabeled')).to.be.closeTo(36.48, 0.01);
    expect(millions('Zhang2019Theoretically')).to.be.closeTo(46.16, 0.01);
    expect(millions('Wang2023Better_WRN-28-10')).to.be.closeTo(36.48, 0.01);
    expect(millions('Andriushchenko2020Understanding')).to.be.closeTo(11.17, 0.01);
    expect(millions('Rice2020Overfitting_L2')).to.be.closeTo(11.17, 0.01);
    // 3x3 instead of 1x1 shortcuts.
    expect(millions('Rebuffi2021Fixing_R18_ddpm')).to.be.closeTo(12.55, 0.01);
    for (const name of robustbenchNames) expect(modelDefinition(name).name).to.equal(name);
  });

  describe('files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'linbp-robustbench-'));
    after(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'weights.safetensors');
    const definition: ModelDefinition = {
      ...modelDefinition('Rebuffi2021Fixing_R18_ddpm'),
      build: preActivation('small', widths, deepMindForm('silu')).build,
    };
    const { specs } = describeModel(definition).layout;
    const weights = (): Map<string, TensorToWrite> =>
      new Map(specs.map(({ name, shape, kind }) => [name, { shape, data: formulaTensor(name, shape, kind) }]));
    const constant = (...values: number[]): TensorToWrite => ({ shape: [3, 1, 1], data: Float32Array.from(values) });

    it('may hold what the forward pass has built in, and unused blocks; keys may begin with module.', async () => {
      const file = new Map([...weights()].map(([key, tensor]) => [`module.${key}`, tensor]));
      file.set('mean', constant(0.4914, 0.4822, 0.4465));
      file.set('std', constant(0.2471, 0.2435, 0.2616));
      file.set('module.sub_block1.layer.0.conv1.weight', constant(1, 2, 3));
      await writeSafetensors(path, file);
      const read = await readStateDict(definition, path);
      expect([...read.keys()]).to.have.members(specs.map(({ name }) => name));
      expect(fitsStateDict(definition, new Map([...file].map(([key, { shape }]) => [key, shape])))).to.equal(true);
    });

    it('with other statistics than the network are refused', async () => {
      const file = weights().set('std', constant(0.2471, 0.2435, 0.2));
      await writeSafetensors(path, file);
      const error = (await readStateDict(definition, path).catch((error: unknown) => error)) as LinbpError;
      expect(error.code).to.equal('bad-file');
      expect(error.message).to.contain('std is 0.247');
    });
  });
});
