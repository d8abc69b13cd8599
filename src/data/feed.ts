import { check } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import type { StepValue, Tensor } from '../graph/types.js';
import { openStore } from '../program/store.js';
import type { Store } from '../program/store.js';
import type { Device } from '../runtime/device.js';
import { checkArrays, imageSize } from './dataset.js';
import type { Dataset } from './dataset.js';

/** A data set as graphs and buffers hold it. */
export interface PackedDataset {
  readonly dataset: Dataset;
  /** [C, H, W] */
  readonly sampleShape: readonly [number, number, number];
  /** Whether `images` holds four bytes a word; float32 pixels otherwise. */
  readonly packed: boolean;
  readonly images: Uint32Array | Float32Array;
  readonly labels: Uint32Array;
}

/** The tensors of a data set inside a graph, to be kept in its stores. */
export interface FeedTensors {
  /** Samples of the batch, f32 [count, C, H, W]. */
  readonly images: Tensor;
  /** Labels of the batch, u32 [count]. */
  readonly labels: Tensor;
  readonly data: Tensor;
  readonly allLabels: Tensor;
  /** Order of the samples, u32 [dataset.count]; the batch takes entries from its start on. */
  readonly order: Tensor;
  /** Where the batch begins in the order. */
  readonly start: StepValue;
}

/**
 * Checks a data set and brings it into the form that the device keeps. Bytes stay bytes where a sample fills whole
 * words.
 *
 * @throws LinbpError as `fromArrays` does
 */
export function packDataset(dataset: Dataset): PackedDataset {
  const { name, count, channels, height, width, images, labels } = dataset;
  const size = imageSize(dataset);
  checkArrays({ ...dataset, shape: [count, channels, height, width] }, name);
  const packed = images instanceof Uint8Array && size % 4 === 0;
  return {
    dataset,
    sampleShape: [dataset.channels, dataset.height, dataset.width],
    packed,
    images: packed
      ? wordsOf(images)
      : images instanceof Uint8Array
        ? Float32Array.from(images, (byte) => byte / 255)
        : images,
    labels: Uint32Array.from(labels),
  };
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}

/** Adds the nodes that take `count` samples from entry `start` of the order on. */
export function addFeed(graph: Graph, feed: PackedDataset, count: number, start: StepValue): FeedTensors {
  return graph.scope({ layer: 'data', direction: 'data' }, () => {
    const data = graph.input('data', [feed.images.length], feed.packed ? 'u32' : 'f32');
    const allLabels = graph.input('allLabels', [feed.labels.length], 'u32');
    const order = graph.input('order', [feed.labels.length], 'u32');
    const { sampleShape, packed } = feed;
    const images = graph.one('gatherImages', [data, order], { count, sampleShape, packed, start }, 'images');
    const labels = graph.one('gatherLabels', [allLabels, order], { count, start }, 'labels');
    return { images, labels, data, allLabels, order, start };
  });
}

/** Numbers of the batch's samples in the data set, u32 [count]: what keys their random numbers. */
export function addSampleIds(graph: Graph, feed: FeedTensors, count: number): Tensor {
  return graph.scope({ layer: 'data', direction: 'data' }, () => {
    const all = feed.order.shape[0]!;
    const numbers = graph.state('sampleNumbers', [all], 'u32');
    graph.initial.set(
      numbers,
      Uint32Array.from({ length: all }, (_, index) => index),
    );
    return graph.one('gatherLabels', [numbers, feed.order], { count, start: feed.start }, 'sampleIds');
  });
}

/**
 * A data set where it is trained with: pixels (on a device as bytes where possible) and labels are copied there once;
 * batches are gathered by kernels. Pixels that exceed one binding are read in slices, so the limit is the device's
 * largest buffer.
 */
export class PlacedDataset {
  readonly feed: PackedDataset;
  private readonly data: Store;
  private readonly labels: Store;
  private readonly orders: Store[] = [];
  private readonly place: Device | 'reference';

  /**
   * @param place a device, or `reference` for float64 on the CPU
   * @throws LinbpError `limit-exceeded` when the pixels do not fit the device's largest buffer; as {@link packDataset}
   */
  constructor(dataset: Dataset, place: Device | 'reference') {
    this.feed = packDataset(dataset);
    this.place = place;
    const { images, labels } = this.feed;
    if (place !== 'reference') expectToFit(this.feed, place);
    this.data = this.stored(images, `${dataset.name} pixels`);
    this.labels = this.stored(labels, `${dataset.name} labels`);
  }

  /** A store that holds an order of the samples, 0 to count - 1 at first; freed with the data set. */
  createOrder(): Store {
    const order = this.stored(
      Uint32Array.from({ length: this.feed.labels.length }, (_, index) => index),
      'order',
    );
    this.orders.push(order);
    return order;
  }

  /** Where the tensors of {@link addFeed} are stored. */
  stores(tensors: FeedTensors, order: Store): [Tensor, Store][] {
    return [
      [tensors.data, this.data],
      [tensors.allLabels, this.labels],
      [tensors.order, order],
    ];
  }

  destroy(): void {
    for (const store of [this.data, this.labels, ...this.orders]) store.destroy();
  }

  private stored(values: Uint32Array | Float32Array, label: string): Store {
    const dtype = values instanceof Uint32Array ? 'u32' : 'f32';
    const store = openStore(this.place, { elements: values.length, dtype, kind: 'input', label });
    store.write(values);
    return store;
  }
}

function expectToFit({ dataset, images, packed }: PackedDataset, device: Device): void {
  const most = device.limits.maxBufferSize;
  check(
    images.byteLength <= most,
    'limit-exceeded',
    `${dataset.name}: ${images.byteLength} bytes of pixels exceed the device's largest buffer (${most} ` +
      `bytes); train on a subset${packed ? '' : ', or give bytes instead of floats'}`,
    'dataset',
  );
}
