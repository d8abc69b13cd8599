import { LinbpError } from '../errors.js';
import { divergence, firstNonFinite } from '../finite.js';
import { Graph } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { Precision, Tensor } from '../graph/types.js';
import { openExecutor } from '../program/executor.js';
import type { Executor } from '../program/executor.js';
import type { Store } from '../program/store.js';
import type { Device } from '../runtime/device.js';
import { keepRecent } from '../runtime/recent.js';
import { addModel } from './definition.js';
import type { GraphStores, ModelDefinition, StateDict } from './definition.js';
import { whereNonFinite } from './nonFinite.js';

/** A network and its weights where they are: on a device or in float64. */
export interface PlacedNetwork {
  readonly definition: ModelDefinition;
  readonly device: Device | 'reference';
  /** Where the weights are, for stores that `addStores` added to a graph. */
  stores(tensors: GraphStores): ReadonlyMap<Tensor, Store>;
}

/** Executors of {@link ForwardPass} that are kept. */
const keptExecutors = 4;

/** How {@link ForwardPass.logits} goes through its images. */
export interface ForwardOptions {
  /** Images at a time. */
  readonly batch: number;
  readonly precision?: Precision;
  /** Stops between batches with an `aborted` error. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with the share of the images that are done, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
}

/**
 * The forward pass of a network in eval mode, compiled once per batch size and precision; the last few are kept. One
 * call at a time.
 */
export class ForwardPass {
  private readonly network: PlacedNetwork;
  private readonly compiled = new Map<string, { executor: Executor; images: Tensor; logits: Tensor }>();

  constructor(network: PlacedNetwork) {
    this.network = network;
  }

  /**
   * Logits [N, classes] of images [N, C, H, W] in [0, 1], as they were computed: float32 of a device, float64 of the
   * reference. Throws `aborted`.
   */
  async logits(images: Float32Array, options: ForwardOptions): Promise<Float32Array | Float64Array> {
    const { definition, device } = this.network;
    const { batch, precision = 'f32', signal, onProgress } = options;
    const size = elementCount(definition.input);
    const count = images.length / size;
    const result = new (device === 'reference' ? Float64Array : Float32Array)(count * definition.classes);
    for (let first = 0; first < count; first += batch) {
      if (signal?.aborted === true) throw new LinbpError('aborted', 'the forward pass was aborted');
      const n = Math.min(batch, count - first);
      const { executor, images: input, logits } = await this.compile(n, precision);
      executor.write(input, images.subarray(first * size, (first + n) * size));
      await executor.run([{ segment: 'main' }]);
      result.set(await executor.exact(logits), first * definition.classes);
      onProgress?.((first + n) / count);
    }
    return result;
  }

  private async compile(
    batch: number,
    precision: Precision,
  ): Promise<{ executor: Executor; images: Tensor; logits: Tensor }> {
    const key = `${precision} ${batch}`;
    let entry = this.compiled.get(key);
    if (entry === undefined) {
      const { definition, device } = this.network;
      const graph = new Graph();
      const images = graph.input('images', [batch, ...definition.input]);
      const network = addModel(graph, definition, images);
      graph.output('logits', network.logits);
      const stores = this.network.stores(network);
      const executor: Executor = await openExecutor(graph, { device, stores, precision });
      entry = { executor, images, logits: network.logits };
    }
    keepRecent(this.compiled, key, entry, keptExecutors, (old) => old.executor.destroy());
    return entry;
  }

  destroy(): void {
    for (const { executor } of this.compiled.values()) executor.destroy();
    this.compiled.clear();
  }
}

/**
 * Throws `diverged` at the first logit of these images that is infinite or NaN, naming the first layer where that is
 * cheap to find; `weights` is asked only then.
 */
export async function expectFiniteLogits(
  definition: ModelDefinition,
  logits: ArrayLike<number>,
  images: Float32Array,
  weights: () => Promise<StateDict>,
  precision: Precision = 'f32',
): Promise<void> {
  const bad = firstNonFinite(logits);
  if (bad < 0) return;
  const image = Math.floor(bad / definition.classes);
  const size = elementCount(definition.input);
  throw divergence(
    `logit ${bad % definition.classes} of image ${image} is ${logits[bad]}`,
    whereNonFinite(definition, await weights(), images.subarray(image * size, (image + 1) * size), precision),
  );
}
