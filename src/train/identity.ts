import { createHash } from 'node:crypto';
import type { Dataset } from '../data/dataset.js';
import { Graph } from '../graph/graph.js';
import type { Tensor } from '../graph/types.js';
import { addModel } from '../nn/definition.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';

/*
 * What decides the bits of a run, as text by name: training and attacks both take data set and network from here and
 * add their options. Contents are hashed, and where files lie or what a folder is called does not count.
 */

const known = new WeakMap<Dataset, Readonly<Record<string, string>>>();

/** A short name for contents. */
export function digest(...parts: readonly (string | ArrayBufferView)[]): string {
  const hash = createHash('sha256');
  for (const part of parts)
    hash.update(typeof part === 'string' ? part : new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  return hash.digest('hex').slice(0, 32);
}

/** The weights of a network, whatever file they come from. */
export const weightsIdentity = (weights: StateDict): string =>
  digest(...[...weights].flatMap(([name, { shape, data }]) => [`${name} ${shape.join()}`, data]));

/** The images and labels of a data set, which are what its split, resizing, cropping and folder come to. */
export function datasetIdentity(dataset: Dataset): Readonly<Record<string, string>> {
  let identity = known.get(dataset);
  if (identity === undefined) {
    const { name, split, count, channels, height, width, classes, images, labels } = dataset;
    identity = {
      // The name of a folder is where it lies, not what it holds.
      dataset: name.startsWith('folder:') ? 'folder' : name,
      split,
      samples: String(count),
      size: `${channels} x ${height} x ${width}`,
      classes: String(classes),
      images: digest(images instanceof Uint8Array ? 'bytes' : 'floats', images),
      labels: digest(Int32Array.from(labels)),
    };
    known.set(dataset, identity);
  }
  return identity;
}

/** What a graph computes, whatever its weights: ops, attributes with the source of custom functions, constants. */
export function graphIdentity(graph: Graph, results: readonly Tensor[]): string {
  const nodes = graph.nodes.map(({ op, attrs, inputs, outputs }) => ({
    op,
    attrs,
    inputs: inputs.map(({ id, shape }) => [id, shape]),
    outputs: outputs.map(({ id, shape }) => [id, shape]),
  }));
  const constants = [...graph.initial].map(([tensor, values]) => [tensor.id, [...values]]);
  const [only, ...others] = results.map(({ id }) => id);
  return digest(JSON.stringify({ nodes, constants, logits: others.length === 0 ? only : [only, ...others] }));
}

/** A network: its name, what its images are normalized by, and its forward pass, whatever the weights. */
export function networkIdentity(definition: ModelDefinition): Readonly<Record<string, string>> {
  const graph = new Graph();
  const { logits } = addModel(graph, definition, graph.input('images', [1, ...definition.input]));
  return {
    model: definition.name,
    normalize: definition.normalization ?? 'none',
    network: graphIdentity(graph, [logits]),
  };
}
