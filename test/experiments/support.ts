import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExperimentContext } from '../../src/experiments/types.js';
import { writeSafetensors } from '../../src/io/safetensors.js';
import { Model } from '../../src/nn/model.js';
import type { StateDict } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import { sharedDevice } from '../support/device.js';

/** Levels of a CIFAR-10 image. */
const imageSize = 3 * 32 * 32;

/** The class that a CIFAR-10 network with these weights sees in each image of 0..255 levels. */
export async function seenClasses(name: string, state: StateDict, images: Uint8Array): Promise<number[]> {
  using model = Model.create(modelDefinition(name), { device: await sharedDevice() });
  model.setStateDict(state);
  const logits = await model.logits(Float32Array.from(images, (level) => level / 255));
  return Array.from({ length: images.length / imageSize }, (_, n) => {
    const own = logits.subarray(10 * n, 10 * n + 10);
    return own.indexOf(Math.max(...own));
  });
}

/** Makes a data folder of weights and of some of the images, with their labels, in CIFAR-10's format. */
export async function writeCifarFolder(
  folder: string,
  weights: ReadonlyMap<string, StateDict>,
  images: Uint8Array,
  labeled: readonly (readonly [index: number, label: number])[],
): Promise<string> {
  mkdirSync(join(folder, 'models', 'cifar10'), { recursive: true });
  mkdirSync(join(folder, 'cifar10'));
  for (const [network, state] of weights) {
    const tensors = new Map(
      [...state].map(([name, { shape, data }]) => [name, { dtype: 'F32' as const, shape: [...shape], data }]),
    );
    await writeSafetensors(join(folder, 'models', 'cifar10', `${network}.safetensors`), tensors);
  }
  const records = labeled.flatMap(([n, label]) => [label, ...images.subarray(imageSize * n, imageSize * (n + 1))]);
  writeFileSync(join(folder, 'cifar10', `test_batch.first${labeled.length}.bin`), Uint8Array.from(records));
  return folder;
}

/** The smallest run of an experiment, without output. */
export async function smallest(changes: Partial<ExperimentContext> = {}): Promise<ExperimentContext> {
  const progress = { line: (): void => undefined, update: (): void => undefined };
  return {
    ...{ scale: 1e-6, seeds: 1, seed: 5, dataset: undefined, dataFolder: undefined, compat: 'none', progress },
    ...{ device: await sharedDevice(), signal: new AbortController().signal },
    ...changes,
  };
}
