import { join } from 'node:path';
import { expect } from 'chai';

import { modelDefinition } from '../../src/nn/zoo/index.js';
import { goldenValues } from '../reference/support.js';
import { relativeError } from '../support/compare.js';
import { loadGolden } from '../support/golden.js';
import { slowly } from '../support/slow.js';
import { formulaStores, storesOf, median, norm, runInReference, runOnDevice } from './support.js';
import type { NetworkInputs, NetworkProblem, NetworkValues } from './support.js';
import { loadTensors } from '../support/tensors.js';
import type { LoadedFile } from '../support/tensors.js';
import { pending } from '../support/pending.js';

interface Bounds {
  readonly logits: number;
  /** Input gradient and the median over the parameters' gradients. */
  readonly gradient: number;
  /** The worst of the parameters' gradients. */
  readonly worst: number;
}

const exact: Bounds = { logits: 1e-6, gradient: 1e-6, worst: 1e-6 };

function compare(values: NetworkValues, file: LoadedFile, rule: string, bounds: Bounds): void {
  const golden = (key: string): ArrayLike<number> => goldenValues(file, key);
  const near = (key: string, bound: number): void => {
    expect(relativeError(values.get(key)!, golden(`${rule}.${key}`)), key).to.be.below(bound);
  };
  near('logits', bounds.logits);
  near('grad.input', bounds.gradient);
  const errors: number[] = [];
  for (const [key, value] of values) {
    if (key.startsWith('after.')) {
      expect(relativeError(Array.from(value).slice(0, 8), golden(`${key}.head`)), key).to.be.below(bounds.logits);
    }
    if (!key.startsWith('grad.') || key === 'grad.input') continue;
    // Biases in front of a batch norm: mathematically zero.
    const size = golden(`${rule}.${key}.norm`)[0]!;
    if (size < 1e-9) {
      expect(norm(value), key).to.be.below(1e-3);
      continue;
    }
    const error = Math.max(
      relativeError(Array.from(value).slice(0, 32), golden(`${rule}.${key}.head`)),
      Math.abs(norm(value) / size - 1),
    );
    expect(error, key).to.be.below(bounds.worst);
    errors.push(error);
  }
  expect(median(errors), 'median of the parameter gradients').to.be.below(bounds.gradient);
}

interface Case {
  readonly file: string;
  readonly model: string;
  readonly training: boolean;
  readonly device: Bounds;
  /** Whether the float64 reference takes more than half a minute. */
}

const evalBounds: Bounds = { logits: 1e-4, gradient: 2e-2, worst: 0.2 };

const cases: readonly Case[] = [
  { file: 'resnet18.eval', model: 'resnet18', training: false, device: evalBounds },
  { file: 'mobilenet_v2.eval', model: 'mobilenet_v2', training: false, device: evalBounds },
  { file: 'densenet121.eval', model: 'densenet121', training: false, device: evalBounds },
  {
    file: 'resnet18.train',
    model: 'resnet18',
    training: true,
    device: { ...evalBounds, logits: 1e-3 },
  },
  {
    file: 'mobilenet_v2.train',
    model: 'mobilenet_v2',
    training: true,
    device: { logits: 1e-3, gradient: 5e-2, worst: 0.2 },
  },
];

function problemOf(
  { file, model, training }: Case,
  rule: string,
): { golden: LoadedFile; problem: NetworkProblem; inputs: NetworkInputs } {
  const golden = loadGolden(file);
  const definition = modelDefinition(model);
  const labels = Uint32Array.from(goldenValues(golden, 'labels'));
  const problem: NetworkProblem = { definition, batch: labels.length, rule, loss: 'mean', training };
  return {
    golden,
    problem,
    inputs: { images: goldenValues(golden, 'input') as Float32Array, labels, ...formulaStores(definition) },
  };
}

function pretrainedProblem(rule: string): { golden: LoadedFile; problem: NetworkProblem; inputs: NetworkInputs } {
  const golden = loadGolden('resnet20_cifar10');
  const definition = modelDefinition('resnet20');
  const labels = Uint32Array.from(goldenValues(golden, 'labels'));
  // as the file was made: bytes over 255 in float64, since losses near 0 would carry a rounding of pixels on
  const images = Float64Array.from(golden.tensors.get('images_u8')!.data, (byte) => byte / 255);
  const stores = storesOf(
    definition,
    loadTensors(join(process.env['LINBP_DATA']!, 'models/cifar10/resnet20.safetensors')),
  );
  return {
    golden,
    problem: { definition, batch: labels.length, rule, loss: 'sum', inputOnly: true },
    inputs: { images, labels, ...stores },
  };
}

describe('golden networks', () => {
  for (const each of cases) {
    for (const rule of ['bp', 'linbp']) {
      // ResNet-20 below is enough for every run; these take seconds on the device, and float64 a minute and more.
      slowly('golden', `${each.file}, ${rule}, on the device`, 300_000, async () => {
        const { golden, problem, inputs } = problemOf(each, rule);
        compare(await runOnDevice(problem, inputs), golden, rule, each.device);
      });
      slowly('golden', `${each.file}, ${rule}, in float64`, 1_800_000, () => {
        const { golden, problem, inputs } = problemOf(each, rule);
        compare(runInReference(problem, inputs), golden, rule, exact);
      });
    }
  }

  // Real weights and images; LinBP from two layers and on everything.
  const rules = {
    bp: 'bp',
    'linbp.layer3': 'linbp:from=layer3',
    'linbp.layer2': 'linbp:from=layer2',
    'linbp.all': 'linbp:from=all',
  };
  for (const [key, rule] of Object.entries(rules)) {
    it(`resnet20_cifar10, ${rule}: input gradient on the device @slow`, async function () {
      this.timeout(300_000);
      if (process.env['LINBP_DATA'] === undefined) return pending(this, 'LINBP_DATA');
      const { problem, inputs, golden } = pretrainedProblem(rule);
      const values = await runOnDevice(problem, inputs);
      for (const [name, bound] of Object.entries({ logits: 1e-4, loss: 1e-3, 'grad.input': 2e-2 })) {
        expect(relativeError(values.get(name)!, goldenValues(golden, `${key}.${name}`)), name).to.be.below(bound);
      }
    });

    slowly('golden', `resnet20_cifar10, ${rule}: in float64`, 1_800_000, () => {
      const { problem, inputs, golden } = pretrainedProblem(rule);
      const values = runInReference(problem, inputs);
      for (const name of ['logits', 'loss', 'grad.input']) {
        expect(relativeError(values.get(name)!, goldenValues(golden, `${key}.${name}`)), name).to.be.below(1e-6);
      }
    });
  }
});
