import { join } from 'node:path';
import { isThere } from '../io/folders.js';
import { Attack } from '../attacks/attack.js';
import type { AttackOptions } from '../attacks/options.js';
import type { AttackResult } from '../attacks/result.js';
import { batchPixels, subset, selectSamples } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { dataFolderOrEnvironment } from '../data/files.js';
import { loadDataset } from '../data/load.js';
import { LinbpError } from '../errors.js';
import { positionTable } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import { Model } from '../nn/model.js';
import { cifar10Statistics, normalized } from '../nn/normalize.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { counted } from '../quote.js';
import type { ExperimentContext } from './types.js';

/**
 * Loads the pretrained CIFAR-10 networks that are there; the caller destroys them.
 *
 * @param normalizedOnes those whose weights expect pixels normalized as in the theory paper's code
 * @throws LinbpError `missing-data` where there are fewer than `least`
 */
export async function pretrained(
  context: ExperimentContext,
  names: readonly string[],
  least = 1,
  normalizedOnes: readonly string[] = [],
): Promise<Model[]> {
  const folder = join(dataFolderOrEnvironment(context.dataFolder) ?? '.', 'models', 'cifar10');
  const present = await Promise.all(names.map((name) => isThere(join(folder, `${name}.safetensors`))));
  const found = names.filter((_, at) => present[at]);
  if (found.length < least) {
    throw new LinbpError(
      'missing-data',
      `this needs the weights of ${counted(least, 'network')} or more in ${folder}, and ${found.length} ` +
        `are there; looked for ${names.join(', ')} (.safetensors); --data or LINBP_DATA names the folder of the data`,
      { field: 'data' },
    );
  }
  const models: Model[] = [];
  try {
    for (const name of found) {
      const plain = modelDefinition(name);
      const definition = normalizedOnes.includes(name) ? normalized(plain, cifar10Statistics) : plain;
      models.push(await Model.load(definition, join(folder, `${name}.safetensors`), { device: context.device }));
    }
    return models;
  } catch (error) {
    for (const model of models) model.destroy();
    throw error;
  }
}

/** The first test images of CIFAR-10, or fewer where fewer are there. */
export async function cifarImages(context: ExperimentContext, count: number): Promise<Dataset> {
  const folder = context.dataFolder === undefined ? {} : { dataFolder: context.dataFolder };
  const dataset = await loadDataset({ dataset: 'cifar10', split: 'test', ...folder });
  return subset(dataset, Math.min(count, dataset.count));
}

/**
 * Where LinBP begins unless an experiment sweeps it: the last stage, which is where the theory paper's ResNets have
 * it, or the last ReLU.
 */
export function lastStage(definition: ModelDefinition): string {
  const last = positionTable(definition).positions.at(-1)!;
  return last.stage ?? last.name;
}

/** An attack with both the outcome per image and the curve. */
export async function attackWith(
  context: ExperimentContext,
  options: Omit<AttackOptions, 'eps'>,
  dataset: Dataset,
  radii: readonly number[],
  label: string,
): Promise<AttackResult[]> {
  using attack = await Attack.compile({ ...options, eps: radii[0]! });
  const results: AttackResult[] = [];
  for (const [index, eps] of radii.entries()) {
    const onProgress = (share: number): void =>
      context.progress.update(label, (index + share) / radii.length, `eps ${eps.toFixed(4)}`);
    results.push(await attack.run({ images: dataset, eps, signal: context.signal, onProgress }));
  }
  return results;
}

/** Right (1) or wrong (0) for each image. */
export async function rightness(
  model: Model,
  images: Float32Array,
  labels: ArrayLike<number>,
  batch: number,
): Promise<number[]> {
  const logits = await model.logits(images, { batch });
  const { classes } = model.definition;
  return Array.from(labels, (label, n) => {
    const own = logits.subarray(n * classes, (n + 1) * classes);
    return own.indexOf(Math.max(...own)) === label ? 1 : 0;
  });
}

/** The images that all these models classify right, at most `count` of them. */
export async function rightForAll(
  models: readonly Model[],
  dataset: Dataset,
  count: number,
  batch: number,
): Promise<Dataset> {
  const all = Array.from({ length: dataset.count }, (_, i) => i);
  const pixels = batchPixels(dataset, all);
  let kept = all;
  for (const model of models) {
    const right = await rightness(model, pixels, Array.from(dataset.labels), batch);
    kept = kept.filter((index) => right[index] === 1);
  }
  if (kept.length === 0)
    throw new LinbpError('bad-range', 'no image is classified right by all networks', { field: 'models' });
  return selectSamples(dataset, kept.slice(0, count));
}
