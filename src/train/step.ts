import { gradients, lossSeed } from '../autodiff/gradients.js';
import { check } from '../errors.js';
import { addFeed, addSampleIds } from '../data/feed.js';
import type { FeedTensors, PackedDataset } from '../data/feed.js';
import { Graph, resolveView } from '../graph/graph.js';
import type { ElementwiseFunction, LossKind, Precision, StepValue, Tensor } from '../graph/types.js';
import { addModel, addStores, describeModel, isBuffer } from '../nn/definition.js';
import type { GraphStores, ModelDefinition } from '../nn/definition.js';
import type { BackwardSelection } from '../graph/backward.js';
import { lossScaleStates, scaled, updateScaled } from './lossScale.js';
import type { LossScaleSettings } from './lossScale.js';
import type { Optimizer } from './optimizers.js';
import type { ObjectiveTensors } from './objective.js';
import { weightedCrossEntropy } from './classWeights.js';
import { graphIdentity } from './identity.js';
import { clipGradients, smoothedCrossEntropy } from './regularize.js';

export type { ObjectiveTensors };

/**
 * A custom objective: adds nodes that turn logits [N, classes] and labels u32 [N] into a loss per sample. It
 * returns the output of a `loss` node, or the loss together with its gradient, which must already be multiplied by
 * `scale` (1/N in training).
 */
export type Objective = (graph: Graph, logits: Tensor, labels: Tensor, scale: number) => Tensor | ObjectiveTensors;

/** What an {@link InputStage} sees while it emits its nodes. */
export interface InputContext {
  readonly graph: Graph;
  readonly definition: ModelDefinition;
  /** The weights that are trained, for instances of the network that a stage makes. */
  readonly stores: GraphStores;
  /** The batch as it comes from the data set, f32 [N, C, H, W] in [0, 1]. */
  readonly images: Tensor;
  /** u32 [N] */
  readonly labels: Tensor;
  /** u32 [N]: numbers of the samples in the data set, which key random numbers. */
  readonly sampleIds: Tensor;
  /** Number of the step, from 1. */
  readonly step: StepValue;
  readonly seed: number;
}

/**
 * What happens to the images of a step before the network sees them, inside the program of the step: adversarial
 * training, for instance.
 */
export interface InputStage {
  /** Says what it does and with which settings; part of what a checkpoint must agree with. */
  readonly name: string;
  /** Emits nodes and returns the images to train on, in the shape of the batch. */
  emit(context: InputContext): Tensor;
}

/** Settings that determine the graphs of training, except the batch size. */
export interface StepSettings {
  readonly definition: ModelDefinition;
  readonly rules: BackwardSelection;
  readonly optimizer: Optimizer;
  readonly loss: LossKind;
  readonly objective: Objective | undefined;
  /** Probability mass spread over all classes by cross entropy; none unless given. */
  readonly labelSmoothing?: number;
  /** Weights of the cross entropy, one per class; all 1 unless given. */
  readonly classWeights?: readonly number[];
  /** Largest length of the gradients of all parameters together; any unless given. */
  readonly clipNorm?: number;
  readonly inputs?: InputStage;
  /** Rows of the log. */
  readonly logRows: number;
  /** Of dropout. */
  readonly seed: number;
  /** How programs store activations and gradients; default `f32`. */
  readonly precision?: Precision;
  /** Present where gradients are stored as f16. */
  readonly lossScale?: LossScaleSettings;
}

/** Tensors that persist between steps and are shared by all graphs of a training run. */
export interface SharedTensors {
  readonly stores: GraphStores;
  readonly gradients: Tensor | undefined;
  readonly states: readonly Tensor[];
  /** States of the loss scale, where there is one: see `lossScaleStates`. */
  readonly lossScale: readonly Tensor[];
  /** Sum of losses and number correct, f32 [rows, 2]. */
  readonly log: Tensor;
}

/** The graph of one training step, with the tensors that its caller reads. */
export interface TrainingGraph extends SharedTensors {
  readonly graph: Graph;
  readonly feed: FeedTensors;
  readonly logits: Tensor;
}

function objectiveOf(
  graph: Graph,
  settings: Pick<StepSettings, 'loss' | 'objective' | 'labelSmoothing' | 'classWeights'>,
  logits: Tensor,
  labels: Tensor,
  scale: number,
): ObjectiveTensors {
  return graph.scope({ layer: 'loss', direction: 'forward' }, () => {
    if (settings.labelSmoothing !== undefined)
      return smoothedCrossEntropy(graph, logits, labels, settings.labelSmoothing, scale);
    if (settings.classWeights !== undefined)
      return weightedCrossEntropy(graph, logits, labels, settings.classWeights, scale);
    if (settings.objective === undefined) return { loss: graph.one('loss', [logits, labels], { kind: settings.loss }) };
    const found = settings.objective(graph, logits, labels, scale);
    const tensors = 'producer' in found ? { loss: found } : found;
    const { loss } = tensors;
    const fits = loss.dtype === 'f32' && loss.shape.length === 1 && loss.shape[0] === logits.shape[0];
    check(
      fits,
      'bad-shape',
      `the objective must return a loss per sample, f32 [${logits.shape[0]}], got [${loss.shape.join(', ')}]`,
      'objective',
    );
    return tensors;
  });
}

const whereLogitsAreFinite: ElementwiseFunction = {
  name: 'whereLogitsAreFinite',
  inputs: ['loss', 'logit'],
  scalars: [],
  results: ['orNaN(loss, logit)'],
  reference: (loss, logit) => [Number.isFinite(logit) ? loss! : NaN],
};

/** Sums the losses and the correct answers of the batch into row `row` of the log. */
function addRecord(graph: Graph, loss: Tensor, logits: Tensor, labels: Tensor, rows: number): Tensor {
  const log = graph.state('log', [rows, 2]);
  graph.scope({ layer: 'log', direction: 'update' }, () => {
    const correct = graph.one('correct', [logits, labels], {});
    // A custom loss may be finite where the logits are not.
    const sound =
      loss.producer?.op === 'loss'
        ? loss
        : graph.one('map', [loss, graph.one('loss', [logits, labels], { kind: 'logit' })], {
            fn: whereLogitsAreFinite,
            scalars: [],
            targets: ['new'],
          });
    graph.add('record', [sound, correct, log], { row: { step: 'row' } });
  });
  return log;
}

/**
 * A whole training step: gather, forward, backward under the rules, record of loss and hits, update of all
 * parameters. The gradients are windows of one flat tensor laid out like the parameters, so that an optimizer needs
 * one dispatch. Step fields: `start` and `row`, `step`, and the optimizer's own.
 */
export function buildTraining(settings: StepSettings, dataset: PackedDataset, batch: number): TrainingGraph {
  const { definition, optimizer } = settings;
  const { layout } = describeModel(definition);
  const graph = new Graph();
  const feed = addFeed(graph, dataset, batch, { step: 'start' });
  let ids: Tensor | undefined;
  // Only networks with dropout and custom stages ask for them.
  const sampleIds = (): Tensor => (ids ??= addSampleIds(graph, feed, batch));
  const stores = addStores(graph, definition);
  const images =
    settings.inputs === undefined
      ? feed.images
      : changedImages(graph, settings, settings.inputs, feed, stores, sampleIds());
  const network = addModel(graph, definition, images, {
    stores,
    training: true,
    updateStatistics: true,
    dropout: {
      seed: settings.seed,
      step: { step: 'step' },
      get sampleIds() {
        return sampleIds();
      },
    },
  });
  const { logits } = network;
  const scale = 1 / batch;
  const { loss, gradient } = objectiveOf(graph, settings, logits, feed.labels, scale);
  const log = addRecord(graph, loss, logits, feed.labels, settings.logRows);
  const learnable = layout.specs.filter((spec) => !isBuffer(spec));
  const lossScale =
    settings.lossScale === undefined ? [] : lossScaleStates.map((name) => graph.state(`lossScale.${name}`, [1]));
  const seed =
    lossScale[0] === undefined
      ? gradient
      : scaled(graph, gradient ?? lossSeed(graph, { loss, scale }).gradient, lossScale[0]);
  const found = gradients(graph, {
    loss,
    scale,
    targets: learnable.map((spec) => network.tensors.get(spec.name)!),
    rules: settings.rules,
    ...(seed && { seed: { at: logits, gradient: seed } }),
  });
  const flat = graph.state('gradients', [layout.parameterElements]);
  for (const spec of learnable)
    placeGradient(graph, found.get(network.tensors.get(spec.name)!)!, flat, layout.offsets.get(spec.name)!, spec.name);
  const states = optimizer.states.map((name) => graph.state(`optimizer.${name}`, [layout.parameterElements]));
  const tensors = { parameters: network.parameters, gradients: flat, states };
  graph.scope({ layer: 'optimizer', direction: 'update' }, () => {
    if (settings.clipNorm !== undefined) clipGradients(graph, flat, settings.clipNorm, lossScale[0]);
    if (settings.lossScale === undefined) optimizer.emit(graph, tensors);
    else updateScaled(graph, optimizer, tensors, lossScale, settings.lossScale);
  });
  return { graph, feed, logits, stores: network, gradients: flat, states, lossScale, log };
}

/** The loss and the gradients under the rules, for runs whose rules or objective are known by their content only. */
export function stepIdentity(settings: StepSettings, batch: number): string {
  const { definition, rules } = settings;
  const graph = new Graph();
  const images = graph.input('images', [batch, ...definition.input]);
  const labels = graph.input('labels', [batch], 'u32');
  const network = addModel(graph, definition, images, { training: true });
  const scale = 1 / batch;
  const { loss, gradient } = objectiveOf(graph, settings, network.logits, labels, scale);
  const learnable = describeModel(definition).layout.specs.filter((spec) => !isBuffer(spec));
  const targets = learnable.map(({ name }) => network.tensors.get(name)!);
  const seed = gradient && { at: network.logits, gradient };
  const found = gradients(graph, { loss, scale, targets, rules, ...(seed && { seed }) });
  return graphIdentity(graph, [loss, ...found.values()]);
}

/** The images of a step after a custom stage. */
function changedImages(
  graph: Graph,
  { definition, seed }: StepSettings,
  inputs: InputStage,
  { images, labels }: FeedTensors,
  stores: GraphStores,
  sampleIds: Tensor,
): Tensor {
  const context: InputContext = { graph, definition, stores, images, labels, sampleIds, step: { step: 'step' }, seed };
  const changed = graph.scope({ layer: 'inputs', direction: 'attack' }, () => inputs.emit(context));
  const fits = changed.dtype === 'f32' && changed.shape.join() === images.shape.join();
  check(
    fits,
    'bad-shape',
    `${inputs.name} must return images [${images.shape.join(', ')}], got [${changed.shape.join(', ')}]`,
    'inputs',
  );
  return changed;
}

/** Makes the node that computes a gradient write it into the flat tensor; one that cannot live there is copied. */
function placeGradient(graph: Graph, gradient: Tensor, flat: Tensor, offset: number, name: string): void {
  if (gradient.kind === 'value' && gradient.view === undefined && !readWhileWriting(graph, gradient, flat)) {
    gradient.view = { base: flat, offset };
    return;
  }
  const place = graph.window(flat, offset, gradient.shape, `${name}.grad`);
  graph.scope({ layer: name, direction: 'weightGradient' }, () => graph.add('assign', [gradient, place], {}));
}

/**
 * Whether some node would read and write the flat tensor at once, which WebGPU forbids even for different parts of a
 * buffer.
 */
function readWhileWriting(graph: Graph, gradient: Tensor, flat: Tensor): boolean {
  const inside = (tensor: Tensor): boolean => tensor === gradient || resolveView(tensor).root === flat;
  return graph.nodes.some(
    (node) =>
      node.inputs.some(inside) && node.outputs.some(inside) && [...node.inputs, ...node.outputs].includes(gradient),
  );
}

/** Forward pass in eval mode with loss and hits recorded. Step fields: `start` and `row`. */
export function buildEvaluation(
  settings: Pick<StepSettings, 'definition' | 'loss' | 'objective' | 'logRows'>,
  dataset: PackedDataset,
  batch: number,
): TrainingGraph {
  const graph = new Graph();
  const feed = addFeed(graph, dataset, batch, { step: 'start' });
  const network = addModel(graph, settings.definition, feed.images);
  const { logits } = network;
  // Smoothed labels and the like shape training only.
  const { loss: kind, objective } = settings;
  const { loss } = objectiveOf(graph, { loss: kind, objective }, logits, feed.labels, 1);
  const log = addRecord(graph, loss, logits, feed.labels, settings.logRows);
  return { graph, feed, logits, stores: network, gradients: undefined, states: [], lossScale: [], log };
}
