import { gradients } from '../autodiff/gradients.js';
import { check, LinbpError } from '../errors.js';
import { instead } from '../names.js';
import { quoted } from '../quote.js';
import { Graph } from '../graph/graph.js';
import type { ElementwiseFunction, Node, Tensor } from '../graph/types.js';
import { addModel, addStores } from '../nn/definition.js';
import type { GraphStores, ModelDefinition, ModelInGraph } from '../nn/definition.js';
import { addScales, attackSeed, initialScale, scaledGradient } from './gradientScale.js';
import type { GradientScales } from './gradientScale.js';
import { randomStreams } from '../random/philox.js';
import type { AttackSettings } from './options.js';
import type { Passes } from './result.js';
import { addPool, partnerOf } from './pool.js';
import type { ImagePool } from './pool.js';
import { elementwiseMap } from './stages.js';
import type { Forward, StageContext } from './stages.js';
import { buildSteps } from './steps.js';

/**
 * The graph of an attack on one batch. Its segments:
 *
 * - `begin`: the iterate is the clean image, and nothing better is known
 * - `evaluate`: forward of the iterate; its loss and margin go to the log, the best image so far is kept
 * - `remember`: keeps whether the iterate just evaluated was classified right (used for the clean images)
 * - those of gradient steps, see `buildSteps`, or those of the attack's own plan
 * - `finish`: the iterate becomes the result
 */
export interface AttackGraph {
  readonly graph: Graph;
  readonly stores: GraphStores;
  readonly network: ModelInGraph;
  /** Inputs of one batch: images [N, C, H, W], labels, targets and sample ids u32 [N]. */
  readonly clean: Tensor;
  readonly origin: Tensor;
  readonly labels: Tensor;
  readonly targets: Tensor | undefined;
  readonly sampleIds: Tensor;
  /** The iterate, and after `finish` the result. */
  readonly iterate: Tensor;
  /** u32 [N]: whether the clean images are classified right. */
  readonly cleanCorrect: Tensor;
  /** The clean images' logits [N, K]. */
  readonly cleanLogits: Tensor;
  /** f32 [N]: 1 where some evaluated iterate fooled the network. */
  readonly bestFooled: Tensor;
  /** u32 [N]: whether the iterate of the last `evaluate` has the label, or reaches its target. */
  readonly correct: Tensor;
  readonly hit: Tensor | undefined;
  /** f32 [N]: 1 where an image is fooled; the state that says so in attacks by a plan that have one. */
  readonly fooled: Tensor;
  /** How often one run of a segment takes each image through the network, and back; none for those not in it. */
  readonly passes: ReadonlyMap<string, Passes>;
  /** All that is remembered of the images from segment to segment, [N, ...] each. */
  readonly perImage: readonly Tensor[];
  /** Losses and margins of the true label [N, rows], one column per row of the step table. */
  readonly lossLog: Tensor;
  readonly marginLog: Tensor;
  /** Of targeted attacks: margins of the target [N, rows], negative where the target is reached. */
  readonly aimLog: Tensor | undefined;
  /** Where gradients are stored as f16. */
  readonly scales: GradientScales | undefined;
  /** f32 [N]: queries of an image until it fools, of attacks that count them. */
  readonly queries: Tensor | undefined;
  /** Where images of other classes are mixed in. */
  readonly pool: ImagePool | undefined;
}

/** Below every loss a float32 can hold. */
const nothing = -3.4e38;

const fill: ElementwiseFunction = {
  name: 'fill',
  inputs: ['x'],
  scalars: ['value'],
  // the input must appear, or the binding would be dropped
  results: ['select(value, x, false)'],
  reference: (_x, value) => [value!],
};

const track: ElementwiseFunction = {
  name: 'track',
  inputs: ['bestFooled', 'bestLoss', 'loss', 'margin'],
  scalars: ['direction', 'aim', 'counts', 'stop'],
  prelude: `  let gain = direction * loss;
  let fooled = select(0.0, 1.0, aim * margin > 0.0);
  let frozen = counts < 0.5 || (stop > 0.5 && bestFooled > 0.5);
  let better = !frozen && (fooled > bestFooled || (fooled == bestFooled && gain > bestLoss));`,
  results: ['select(bestFooled, fooled, better)', 'select(bestLoss, gain, better)', 'select(0.0, 1.0, better)'],
  reference: (bestFooled, bestLoss, loss, margin, direction, aim, counts, stop) => {
    const gain = direction! * loss!;
    const fooled = aim! * margin! > 0 ? 1 : 0;
    const frozen = counts! < 0.5 || (stop! > 0.5 && bestFooled! > 0.5);
    const better = !frozen && (fooled > bestFooled! || (fooled === bestFooled! && gain > bestLoss!));
    return better ? [fooled, gain, 1] : [bestFooled!, bestLoss!, 0];
  },
};

const keepBetter: ElementwiseFunction = {
  name: 'keepBetter',
  inputs: ['best', 'x', 'better'],
  scalars: [],
  results: ['select(best, x, better > 0.5)'],
  reference: (best, x, better) => [better! > 0.5 ? x! : best!],
};

/** The last result of a layer, or of the last layer inside a module, among the nodes of one forward pass. */
function layerOutput(nodes: readonly Node[], layer: string, model: ModelDefinition): Tensor {
  const inside = nodes.filter((node) => node.layer === layer || node.layer.startsWith(`${layer}.`));
  const names = [...new Set(nodes.map((node) => node.layer).filter((name) => name !== ''))];
  const last = inside.at(-1);
  const message = (): string => `${model.name} has no layer ${quoted(layer)}${instead(layer, { names })}`;
  if (last === undefined) throw new LinbpError('unknown-layer', message(), { field: 'layer' });
  return last.outputs[0]!;
}

/** The tensors that an attack's segments share, on `batch` images; logs have a column for each evaluation. */
function addTensors(graph: Graph, model: ModelDefinition, settings: AttackSettings, batch: number, columns: number) {
  const { definition, targeted } = settings;
  const stores = addStores(graph, model);
  const shape = [batch, ...model.input];
  const clean = graph.input('images', shape);
  const origin = settings.randomStart ? clean : graph.input('start', shape);
  const labels = graph.input('labels', [batch], 'u32');
  const targets = targeted
    ? graph.input('targets', [batch], 'u32')
    : definition.rankedTargets === undefined
      ? undefined
      : graph.state('targets', [batch], 'u32');
  const sampleIds = graph.input('sampleIds', [batch], 'u32');
  const iterate = graph.state('iterate', shape);
  const best = graph.state('best', shape);
  const [bestFooled, bestLoss] = [graph.state('bestFooled', [batch]), graph.state('bestLoss', [batch])];
  const [lossLog, marginLog] = [graph.state('losses', [batch, columns]), graph.state('margins', [batch, columns])];
  const aimLogs = targeted ? (['aims', 'aimsAgain'] as const).map((name) => graph.state(name, [batch, columns])) : [];
  const cleanCorrect = graph.state('cleanCorrect', [batch], 'u32');
  const cleanLogits = graph.state('cleanLogits', [batch, model.classes]);
  const scales = settings.precision === 'f16' ? addScales(graph, batch) : undefined;
  return {
    ...{ stores, clean, origin, labels, targets, sampleIds, iterate, best, bestFooled, bestLoss, lossLog, marginLog },
    ...{ aimLogs, cleanCorrect, cleanLogits, scales },
    // Attacks that rank targets go towards them, although any wrong class is a success.
    aims: targets ?? labels,
  };
}

/** The graph of an attack while it is built: what stages are given, and the segments around them. */
class AttackBuilder {
  readonly graph = new Graph();
  readonly stage: StageContext;
  private readonly tensors: ReturnType<typeof addTensors>;
  private readonly memories = new Map<string, Tensor>();
  private readonly states = new Map<string, { tensor: Tensor; initial: number }>();
  private readonly passes = new Map<string, Passes>();
  private pool: ImagePool | undefined;

  constructor(
    private readonly model: ModelDefinition,
    private readonly settings: AttackSettings,
    batch: number,
    columns: number,
  ) {
    this.tensors = addTensors(this.graph, model, settings, batch, columns);
    this.stage = this.stageContext();
  }

  private readonly segment = <T>(name: string, body: () => T): T =>
    this.graph.scope({ segment: name, layer: '', direction: 'attack' }, body);

  private readonly setTo = (state: Tensor, value: number): void =>
    void this.graph.add('map', [state], { fn: fill, scalars: [value], targets: [0] });

  private network(images: Tensor): ModelInGraph {
    const found = addModel(this.graph, this.model, images, { stores: this.tensors.stores });
    this.count('forwards');
    return found;
  }

  /** A pass of the segment that is being emitted. */
  private count(kind: keyof Passes): void {
    const { segment } = this.graph.nodes.at(-1)!;
    const before = this.passes.get(segment) ?? { gradients: 0, forwards: 0 };
    this.passes.set(segment, { ...before, [kind]: before[kind] + 1 });
  }

  private readonly forward = (images: Tensor): ModelInGraph & Forward => {
    const first = this.graph.nodes.length;
    const found = this.network(images);
    const nodes = this.graph.nodes.slice(first);
    return { ...found, outputOf: (layer: string): Tensor => layerOutput(nodes, layer, this.model) };
  };

  /** Logs the iterate at which the network was just run, and keeps it where it is the best so far. */
  private readonly observe = (point: Tensor, logits: Tensor, loss: Tensor): void => {
    const { graph, settings, stage } = this;
    const { labels, aims, lossLog, marginLog, aimLogs, best, bestFooled, bestLoss } = this.tensors;
    const { targeted } = settings;
    const producer = loss.producer as Node<'loss'>;
    const reusable = producer.attrs.kind === 'margin' && producer.inputs[1] === labels;
    const margin = reusable ? loss : graph.one('loss', [logits, labels], { kind: 'margin' });
    const aimed = targeted ? graph.one('loss', [logits, aims], { kind: 'margin' }) : margin;
    graph.add('logColumn', [loss, margin, lossLog, marginLog], { column: { step: 'column' } });
    if (targeted) graph.add('logColumn', [aimed, aimed, aimLogs[0]!, aimLogs[1]!], { column: { step: 'column' } });
    const [better] = graph.add('map', [bestFooled, bestLoss, loss, aimed], {
      fn: track,
      scalars: [stage.direction, targeted ? -1 : 1, { step: 'counts' }, settings.stopAtSuccess ? 1 : 0],
      targets: [0, 1, 'new'],
    });
    if (settings.keep === 'best')
      graph.add('map', [best, point, better!], { fn: keepBetter, scalars: [], targets: [0] });
  };

  /** A memory of the attack by its name, which always has one shape. */
  private memory(name: string, size: readonly number[]): Tensor {
    const memory = this.memories.get(name) ?? this.graph.state(name, size);
    check(
      memory.shape.join() === size.join(),
      'bad-argument',
      `${this.settings.definition.name} asks for a memory "${name}" of two shapes, ` +
        `[${memory.shape.join()}] and [${size.join()}]`,
      name,
    );
    this.memories.set(name, memory);
    return memory;
  }

  private state(name: string, size: readonly number[], initial: number): Tensor {
    const known = this.states.get(name);
    if (known === undefined) this.states.set(name, { tensor: this.graph.state(name, size), initial });
    return this.states.get(name)!.tensor;
  }

  private readonly gradientAt: StageContext['gradientAt'] = (point, target = point, objective) => {
    const { graph, settings, stage } = this;
    const { definition, rules } = settings;
    const { aims, scales } = this.tensors;
    const { logits, outputOf } = this.forward(point);
    const loss = (objective ?? definition.objective)(stage, logits, aims);
    check(
      loss.producer?.op === 'loss',
      'bad-argument',
      `the objective of ${definition.name} must be the output of a loss`,
      'objective',
    );
    const seed = definition.pull?.(stage, outputOf) ?? attackSeed(graph, loss);
    const wanted = { loss, scale: 1, targets: [target], rules, seed };
    const gradient =
      scales === undefined ? gradients(graph, wanted).get(target)! : scaledGradient(graph, wanted, scales);
    this.count('gradients');
    return { logits, outputOf, loss, gradient };
  };

  private stageContext(): StageContext {
    const { graph, settings } = this;
    const { clean, origin, labels, cleanLogits, targets, aims, sampleIds } = this.tensors;
    return {
      graph,
      norm: settings.norm,
      loss: settings.loss,
      direction: targets === undefined ? 1 : -1,
      decay: settings.decay,
      parameters: settings.parameters,
      ...{ clean, origin, labels, cleanLogits, targets, aims, sampleIds },
      radius: { step: 'radius' },
      alpha: { step: 'alpha' },
      seed: { step: 'seed' },
      draws: [{ step: 'draw0' }, { step: 'draw1' }],
      query: { step: 'query' },
      first: { step: 'first' },
      window: { step: 'window' },
      memory: (name, size) => this.memory(name, size),
      state: (name, size, initial = 0) => this.state(name, size, initial),
      set: this.setTo,
      segment: this.segment,
      feature: (images, layer) => this.forward(images).outputOf(layer),
      forward: this.forward,
      gradientAt: this.gradientAt,
      partner: (draw) => {
        this.pool ??= addPool(graph, clean.shape);
        return partnerOf(graph, this.pool, draw);
      },
      random: (size, distribution, step, stream = randomStreams.attack) =>
        graph.one('random', [sampleIds], { shape: size, distribution, stream, seed: { step: 'seed' }, step }),
      observe: this.observe,
    };
  }

  private evaluate(): Pick<AttackGraph, 'network' | 'correct' | 'hit'> {
    const { graph, stage, settings } = this;
    const { iterate, labels, targets, aims } = this.tensors;
    return this.segment('evaluate', () => {
      const network = this.network(iterate);
      this.observe(iterate, network.logits, settings.definition.objective(stage, network.logits, aims));
      const of = (classes: Tensor): Tensor => graph.one('correct', [network.logits, classes], {});
      return { network, correct: of(labels), hit: settings.targeted ? of(targets!) : undefined };
    });
  }

  private begin(): void {
    const { graph, settings } = this;
    const { clean, iterate, best, labels, targets, bestFooled, bestLoss, scales } = this.tensors;
    this.segment('begin', () => {
      graph.add('assign', [clean, iterate], {});
      graph.add('assign', [clean, best], {});
      // The clean image's objective has no target yet: it is 0, not that of a target of an earlier run.
      if (settings.definition.rankedTargets !== undefined) graph.add('assign', [labels, targets!], {});
      this.setTo(bestFooled, 0);
      this.setTo(bestLoss, nothing);
      for (const { tensor, initial } of this.states.values()) this.setTo(tensor, initial);
      if (scales !== undefined) {
        this.setTo(scales.scale, initialScale);
        this.setTo(scales.overflows, 0);
      }
    });
  }

  private finish(): void {
    const { graph, settings } = this;
    const { definition, keep } = settings;
    const { iterate, best, labels, targets, cleanLogits } = this.tensors;
    this.segment('finish', () => {
      // `finish` must hold a dispatch even where the last iterate is the result already.
      const result = keep === 'best' && definition.plan === undefined ? best : elementwiseMap(graph, same, [iterate]);
      graph.add('assign', [result, iterate], {});
      // Towards the nearest class, whichever was the last one.
      if (definition.rankedTargets !== undefined)
        graph.add('assign', [graph.one('classAtRank', [cleanLogits, labels], { rank: 1 }), targets!], {});
    });
  }

  build(): AttackGraph {
    const { graph, stage, settings } = this;
    const { definition, targeted } = settings;
    const { best, bestLoss, aims: _aims, aimLogs, ...shared } = this.tensors;
    const { iterate, cleanCorrect, cleanLogits, bestFooled, lossLog, marginLog, scales, targets } = shared;
    const { network, correct, hit } = this.evaluate();
    graph.output('logits', network.logits);
    graph.output('correct', correct);
    if (hit !== undefined) graph.output('hit', hit);
    this.segment('remember', () => {
      graph.add('assign', [correct, cleanCorrect], {});
      graph.add('assign', [network.logits, cleanLogits], {});
    });
    const reset = (): void => {
      for (const memory of this.memories.values()) this.setTo(memory, 0);
    };
    if (definition.plan === undefined) buildSteps(stage, settings, { iterate, cleanLogits, reset });
    else definition.plan.build(stage, iterate);
    this.begin();
    this.finish();
    const states = [...this.states.values()].map(({ tensor }) => tensor);
    return {
      ...{ graph, ...shared, network, correct, hit, aimLog: aimLogs[0], pool: this.pool, passes: this.passes },
      queries: this.states.get('queries')?.tensor,
      fooled: this.states.get(definition.plan?.fooled ?? '')?.tensor ?? bestFooled,
      perImage: [
        ...[iterate, best, bestFooled, bestLoss, lossLog, marginLog, ...aimLogs, cleanCorrect, cleanLogits],
        ...(targeted || targets === undefined ? [] : [targets]),
        ...(scales === undefined ? [] : [scales.scale, scales.overflows]),
        ...this.memories.values(),
        ...states,
      ],
    };
  }
}

/** Builds the graph of an attack on `batch` images; `columns` is the number of evaluations that the log holds. */
export const buildAttackGraph = (
  model: ModelDefinition,
  settings: AttackSettings,
  batch: number,
  columns: number,
): AttackGraph => new AttackBuilder(model, settings, batch, columns).build();

const same: ElementwiseFunction = { name: 'same', inputs: ['x'], scalars: [], results: ['x'], reference: (x) => [x!] };
