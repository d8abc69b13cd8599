import { attack } from '../../src/attacks/index.js';
import { elementCount } from '../../src/graph/types.js';
import { formulaTensor } from '../../src/io/formulaWeights.js';
import { describeModel } from '../../src/nn/definition.js';
import type { ModelDefinition } from '../../src/nn/definition.js';
import { Model } from '../../src/nn/model.js';
import type { StateDict } from '../../src/nn/model.js';
import { uniforms } from '../../src/random/philox.js';
import { sharedDevice } from '../support/device.js';

/** The golden files' formula weights of a model. */
export function formulaWeights(definition: ModelDefinition): StateDict {
  const { specs } = describeModel(definition).layout;
  return new Map(specs.map(({ name, shape, kind }) => [name, { shape, data: formulaTensor(name, shape, kind) }]));
}

/** A model on the shared device with given weights, or the golden ones. */
export async function modelWith(
  definition: ModelDefinition,
  weights: StateDict = formulaWeights(definition),
): Promise<Model> {
  const model = Model.create(definition, { device: await sharedDevice() });
  model.setStateDict(weights);
  return model;
}

/** z = W x + b on images [C, H, W]. */
export function linearModel(input: readonly [number, number, number], classes: number): ModelDefinition {
  return { name: 'linear', input, classes, build: (net, x) => net.linear('fc', net.flatten(x), classes) };
}

/** A network of one hidden ReLU layer of 24 on images [1, side, side]. */
export function bentModel(side: number, classes: number): ModelDefinition {
  return {
    name: 'bent',
    input: [1, side, side],
    classes,
    build: (net, x) => net.linear('fc2', net.relu('act', net.linear('fc1', net.flatten(x), 24)), classes),
  };
}

/** Weights in [-0.5, 0.5); each tensor has a seed of its own, from `seed` on. */
export const smallWeights = (definition: ModelDefinition, seed: number): StateDict =>
  new Map(
    describeModel(definition).layout.specs.map(({ name, shape }, index) => [
      name,
      { shape, data: numbers(seed + index, elementCount(shape), -0.5, 0.5) },
    ]),
  );

export const numbers = (seed: number, count: number, low = 0, high = 1): Float32Array =>
  uniforms(seed, 2000, 0, 0, count).map((u) => low + u * (high - low));

/** k/255 pixels. */
export const eightBitImages = (seed: number, count: number): Float32Array =>
  numbers(seed, count).map((u) => Math.fround(Math.round(255 * u) / 255));

export const randomLabels = (seed: number, count: number, classes: number): Int32Array =>
  Int32Array.from(numbers(seed, count), (u) => Math.floor(u * classes));

/** Classes that a model gives to images. */
export async function predicted(model: Model, images: Float32Array): Promise<number[]> {
  const { classes } = model.definition;
  const size = model.definition.input.reduce((product, each) => product * each, 1);
  const count = images.length / size;
  const found = Array.from({ length: count }, () => -1);
  for (let k = 0; k < classes; k++) {
    const labels = Array.from({ length: count }, () => k);
    const { samples } = await attack({ model, images, labels, attack: 'fgsm', eps: 0 });
    for (const [n, { cleanCorrect }] of samples.entries()) if (cleanCorrect) found[n] = k;
  }
  return found;
}
