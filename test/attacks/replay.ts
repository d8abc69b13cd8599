import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Attack } from '../../src/attacks/index.js';
import type { AttackOptions } from '../../src/attacks/index.js';
import { batchLabels, batchPixels } from '../../src/data/dataset.js';
import type { Dataset } from '../../src/data/dataset.js';
import { loadDataset } from '../../src/data/load.js';
import type { Node, Tensor } from '../../src/graph/types.js';
import { tensorAsFloat32, tensorAsInt32 } from '../../src/io/safetensors.js';
import type { HostModel, StateDict } from '../../src/nn/model.js';
import { Model, readStateDict } from '../../src/nn/model.js';
import { modelDefinition } from '../../src/nn/zoo/index.js';
import type { ReferenceExecutor } from '../../src/program/referenceExecutor.js';
import type { ReferenceRun, StepRow } from '../../src/reference/run.js';
import { sharedDevice } from '../support/device.js';
import { goldenFolder } from '../support/golden.js';
import { loadTensors } from '../support/tensors.js';

/** What the official code drew, in place of a `random` node's numbers. */
export type Draw = (node: Node<'random'>, row: StepRow) => ArrayLike<number>;

/** A file of reference values of attacks. */
export const attackFixture = <T>(name: string): T =>
  JSON.parse(readFileSync(join(goldenFolder, '..', 'attacks', `${name}.json`), 'utf8')) as T;

/**
 * Tensors of a file of reference values beside the data folder as float64, where it is there; fixtures hold the figures
 * only.
 */
export function attackTensors(name: string): ((tensor: string) => Float64Array) | undefined {
  const path = join(dataFolder, '..', 'golden', 'attacks', `${name}.safetensors`);
  if (dataFolder === '' || !existsSync(path)) return undefined;
  const { tensors } = loadTensors(path);
  return (tensor) => {
    const found = tensors.get(tensor)!;
    // a copy begins at a multiple of 8
    if (found.dtype === 'F64') return new Float64Array(Uint8Array.from(found.data).buffer);
    return Float64Array.from(found.dtype === 'F32' ? tensorAsFloat32(found) : tensorAsInt32(found));
  };
}

/** Figures of a file there. */
export function attackFigures<T>(name: string): T | undefined {
  const path = join(dataFolder, '..', 'golden', 'attacks', `${name}.json`);
  return dataFolder === '' || !existsSync(path) ? undefined : (JSON.parse(readFileSync(path, 'utf8')) as T);
}

/** How far the first `count` images are from others, as a share of how far those are from the clean ones. */
export function apart(
  mine: ArrayLike<number>,
  theirs: ArrayLike<number>,
  clean: Float32Array,
  { size, count }: { readonly size: number; readonly count: number },
): { readonly image: number; readonly share: number }[] {
  return Array.from({ length: count }, (_, image) => {
    let [off, moved] = [0, 0];
    for (let i = image * size; i < (image + 1) * size; i++) {
      off += (mine[i]! - theirs[i]!) ** 2;
      moved += (theirs[i]! - clean[i]!) ** 2;
    }
    return { image, share: moved === 0 ? Math.sqrt(off) : Math.sqrt(off / moved) };
  });
}

/** The folder of data sets and trained networks, if there is one. */
export const dataFolder = process.env['LINBP_DATA'] ?? '';

/** A network of the data folder in float64. */
export async function trained(name: string): Promise<AttackOptions['model']> {
  const folder = name.startsWith('resnet') ? 'cifar10' : 'mnist';
  const definition = modelDefinition(name);
  const weights: StateDict = await readStateDict(definition, join(dataFolder, 'models', folder, `${name}.safetensors`));
  return { definition, weights };
}

/** The same on the shared device, by the short names of the reference values, too; the caller destroys it. */
export async function onDevice(name: string): Promise<Model> {
  const file = name === 'resnet8' ? 'resnet8-mlperf-tiny' : name;
  const { definition, weights } = (await trained(file)) as HostModel;
  const model = Model.create(definition, { device: await sharedDevice() });
  model.setStateDict(weights);
  return model;
}

const testSet = (set: string, indices: readonly number[]): Promise<Dataset> =>
  loadDataset({
    dataset: set === 'mnist' ? 'mnist' : 'cifar10',
    split: 'test',
    dataFolder,
    limit: Math.max(...indices) + 1,
  });

/** Chosen images of a test set. */
export const testImages = async (set: string, indices: readonly number[]): Promise<Float32Array> =>
  batchPixels(await testSet(set, indices), Uint32Array.from(indices));

/** Their labels. */
export const testLabels = async (set: string, indices: readonly number[]): Promise<Int32Array> =>
  batchLabels(await testSet(set, indices), Uint32Array.from(indices));

/**
 * Compiles an attack in the float64 reference, with random numbers from outside. `seen` is called after each segment
 * with the values of a tensor by name, `before` in front of each with the run and a tensor by name.
 */
export async function replay(
  options: Omit<AttackOptions, 'device'>,
  draw: Draw,
  seen?: (segment: string, valuesOf: (name: string) => Float64Array, reference: ReferenceRun) => void,
  before?: (segment: string, reference: ReferenceRun, tensorOf: (name: string) => Tensor | undefined) => void,
): Promise<Attack> {
  const attack = await Attack.compile({ ...options, device: 'reference' });
  const { executor, attack: built } = await attack.executor(options.batch);
  const inFloat64 = executor as ReferenceExecutor;
  const { reference } = inFloat64;
  const runNode = reference.runNode.bind(reference);
  reference.runNode = (node, row) => {
    if (node.op === 'random') reference.set(node.outputs[0]!, draw(node as unknown as Node<'random'>, row ?? {}));
    else runNode(node, row);
  };
  const tensorOf = (name: string): Tensor | undefined => built.graph.tensors.find((each) => each.name === name);
  const run = inFloat64.runSegment.bind(inFloat64);
  inFloat64.runSegment = async (segment, row, signal) => {
    before?.(segment, reference, tensorOf);
    await run(segment, row, signal);
    seen?.(segment, (name) => Float64Array.from(reference.get(tensorOf(name)!)), reference);
  };
  return attack;
}
