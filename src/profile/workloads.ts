import { Attack } from '../attacks/attack.js';
import { DeviceExecutor } from '../program/executor.js';
import { expectDevice, expectObject, expectOneOf } from '../arguments.js';
import { fromArrays } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { check } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Precision } from '../graph/types.js';
import { addModel } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import { Model } from '../nn/model.js';
import { ModelPlace } from '../nn/place.js';
import type { StateDict } from '../nn/model.js';
import { Program } from '../program/program.js';
import { uniforms } from '../random/philox.js';
import type { Device } from '../runtime/device.js';
import { Engine } from '../train/engine.js';
import { sgd } from '../train/optimizers.js';
import { resolveSettings } from '../train/settings.js';

/** What can be profiled: a training step, one step of a PGD attack, or the forward pass in eval mode. */
export type WorkloadKind = 'train' | 'attack' | 'forward';

/** A compiled program with data in place, ready for `profileProgram`. */
export interface Workload {
  readonly program: Program;
  /** The segments that make up one step. */
  readonly segments: readonly string[];
  /** Row of the step table that they read. */
  readonly row: number;
  /** Frees the program and its data. */
  destroy(): void;
}

/** Of {@link createWorkload}. */
export interface WorkloadOptions {
  readonly device: Device;
  readonly definition: ModelDefinition;
  readonly weights: StateDict;
  /** Backward rules in their notation; ignored by `forward`. */
  readonly rule: string;
  /** Images a step. */
  readonly batch: number;
  /** Fuse pointwise chains into their producers; default true. */
  readonly fuse?: boolean;
  /** How activations and gradients are stored; default `f32`. */
  readonly precision?: Precision;
  /** Called after each compiled pipeline. */
  readonly onCompile?: ((done: number, total: number) => void) | undefined;
}

/** Images and labels of the right shape; their content does not decide the cost. */
function randomImages(definition: ModelDefinition, count: number): Dataset {
  const size = elementCount(definition.input);
  const images = new Float32Array(count * size);
  for (let n = 0; n < count; n++) images.set(uniforms(0, 0, n, 0, size), n * size);
  const labels = Int32Array.from({ length: count }, (_, n) => n % definition.classes);
  return fromArrays({
    name: 'random',
    shape: [count, ...definition.input],
    classes: definition.classes,
    images,
    labels,
  });
}

async function training(model: Model, options: WorkloadOptions): Promise<Workload> {
  const dataset = randomImages(options.definition, options.batch);
  const { rule: rules, batch, fuse = true, precision = 'f32', onCompile } = options;
  const { step } = resolveSettings({
    model,
    dataset,
    rules,
    optimizer: sgd({ lr: 1e-4, momentum: 0.9 }),
    batch,
    precision,
  });
  const engine = await Engine.create(new ModelPlace(model, 'gpu'), step, dataset, batch, { fuse, onCompile });
  const fields = step.optimizer.fields(1, step.optimizer.lr);
  try {
    await engine.run([{ start: 0, size: batch, fields: { step: 1, ...fields } }]);
  } catch (error) {
    engine.destroy();
    throw error;
  }
  return { program: engine.program(batch), segments: ['main'], row: 0, destroy: () => engine.destroy() };
}

async function attacking(model: Model, options: WorkloadOptions): Promise<Workload> {
  const { definition, batch, rule: rules, fuse = true, precision = 'f32', onCompile } = options;
  const settings = { model, attack: 'pgd', eps: 0.1, steps: 2, batch, rules, precision, fuse } as const;
  const attack = await Attack.compile({ ...settings, ...(onCompile && { onCompile }) });
  try {
    await attack.run({ images: randomImages(definition, batch) });
    const { executor } = await attack.executor();
    check(executor instanceof DeviceExecutor, 'internal', 'the attack does not run on a device', 'device');
    // Row 0 of the step table belongs to the clean images, row 1 to the first step.
    return { program: executor.program, segments: ['step'], row: 1, destroy: () => attack.destroy() };
  } catch (error) {
    attack.destroy();
    throw error;
  }
}

async function forward(model: Model, options: WorkloadOptions): Promise<Workload> {
  const { device, definition, batch, fuse = true, precision = 'f32', onCompile } = options;
  const graph = new Graph();
  const images = graph.input('images', [batch, ...definition.input]);
  const network = addModel(graph, definition, images);
  graph.output('logits', network.logits);
  const program = await Program.compile(graph, {
    device,
    fuse,
    precision,
    bindings: model.bindings(network),
    ...(onCompile && { onProgress: onCompile }),
  });
  program.write(images, randomImages(definition, batch).images as Float32Array);
  return { program, segments: ['main'], row: 0, destroy: () => program.destroy() };
}

/**
 * Compiles one step of `kind` for a model of its own with these weights, so that profiling moves nobody else's.
 *
 * @throws LinbpError `bad-argument` where `device` is no device; what training, attacks and compiling throw for options
 * that cannot be meant
 */
export async function createWorkload(kind: WorkloadKind, options: WorkloadOptions): Promise<Workload> {
  expectOneOf(kind, ['train', 'attack', 'forward'], 'kind');
  expectObject(options, 'options');
  expectDevice(options.device, 'profiles are of devices; the reference has no kernels to time');
  const model = Model.create(options.definition, { device: options.device });
  try {
    model.setStateDict(options.weights);
    const build = { train: training, attack: attacking, forward }[kind];
    const workload = await build(model, options);
    const destroy = (): void => {
      workload.destroy();
      model.destroy();
    };
    return { ...workload, destroy };
  } catch (error) {
    model.destroy();
    throw error;
  }
}
