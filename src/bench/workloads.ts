import { fileURLToPath } from 'node:url';
import { isThere } from '../io/folders.js';
import { drawDigits } from '../data/digits.js';
import { check } from '../errors.js';
import type { Precision } from '../graph/types.js';
import { initialState, readStateDict } from '../nn/model.js';
import type { StateDict } from '../nn/model.js';
import { modelDefinition } from '../nn/zoo/index.js';
import { uniforms } from '../random/philox.js';
import type { PlainWeights, ProductWorkload, Workload } from './party.js';

/** What to run; small enough to send to another process, which draws the data itself. */
export type WorkloadRequest =
  | {
      readonly kind: 'training';
      readonly model: string;
      readonly batch: number;
      readonly precision?: Precision;
      readonly lr?: number;
    }
  | {
      readonly kind: 'attack';
      readonly model: string;
      readonly batch: number;
      readonly steps: number;
      readonly weights?: string;
      readonly precision?: Precision;
    }
  | { readonly kind: 'forward'; readonly model: 'lenet5' | 'resnet20'; readonly batch: number }
  | { readonly kind: 'matmul'; readonly size: number }
  | { readonly kind: 'elementwise'; readonly count: number }
  | ProductWorkload;

/** Batches that training steps go round. */
const trainingBatches = 8;

const plain = (state: StateDict): PlainWeights =>
  Object.fromEntries([...state].map(([name, { shape, data }]) => [name, { shape: [...shape], data }]));

/** Values in [-1, 1) that every process draws alike. */
const signedUniforms = (stream: number, count: number): Float32Array =>
  uniforms(7, 1000 + stream, 0, 0, count).map((u) => 2 * u - 1);

/**
 * Labeled images of the network's input shape: drawn digits, or for other shapes smooth random images, which cost the
 * same.
 */
function imagesFor(
  shape: readonly [number, number, number],
  count: number,
): { images: Uint8Array; labels: Uint8Array } {
  const [channels, height, width] = shape;
  const digits = drawDigits({ count, seed: 1 });
  if (channels === digits.channels && height === digits.height && width === digits.width) {
    return { images: digits.images as Uint8Array, labels: Uint8Array.from(digits.labels) };
  }
  const noise = uniforms(7, 999, 0, 0, count * channels * height * width);
  return { images: Uint8Array.from(noise, (u) => Math.floor(256 * u)), labels: Uint8Array.from(digits.labels) };
}

/** Draws the data of a workload; the same on every machine. Throws `unknown-model` or `missing-file`. */
export async function makeWorkload(request: WorkloadRequest): Promise<Workload> {
  switch (request.kind) {
    case 'training': {
      const definition = modelDefinition(request.model);
      const data = imagesFor(definition.input, request.batch * trainingBatches);
      return {
        precision: 'f32',
        lr: 0.05,
        ...request,
        ...data,
        batches: trainingBatches,
        imageShape: definition.input,
        weights: plain(initialState(definition, 1)),
      };
    }
    case 'attack': {
      const definition = modelDefinition(request.model);
      if (request.weights !== undefined)
        check(await isThere(request.weights), 'missing-file', `there is no file ${request.weights}`, 'weights');
      const state =
        request.weights === undefined ? initialState(definition, 1) : await readStateDict(definition, request.weights);
      const { kind, model, batch, steps, precision = 'f32' } = request;
      const data = imagesFor(definition.input, batch);
      return {
        kind,
        model,
        batch,
        steps,
        precision,
        ...data,
        eps: 8 / 255,
        alpha: 2 / 255,
        imageShape: definition.input,
        weights: plain(state),
      };
    }
    case 'forward': {
      const definition = modelDefinition(request.model);
      const { images } = imagesFor(definition.input, request.batch);
      return {
        ...request,
        images,
        imageShape: definition.input,
        classes: definition.classes,
        weights: plain(initialState(definition, 1)),
      };
    }
    case 'matmul': {
      const elements = request.size ** 2;
      return { ...request, a: signedUniforms(1, elements), b: signedUniforms(2, elements) };
    }
    case 'product':
      return request;
    case 'elementwise':
      return { ...request, x: signedUniforms(1, request.count), y: signedUniforms(2, request.count) };
  }
}

/** One line about a workload, the name of its row. */
export function workloadName(request: WorkloadRequest): string {
  const stored = 'precision' in request && request.precision === 'f16' ? ', f16' : '';
  switch (request.kind) {
    case 'training':
      return `training step ${request.model}, batch ${request.batch}${stored}`;
    case 'attack':
      return `PGD-${request.steps} ${request.model}, batch ${request.batch}${stored}`;
    case 'forward':
      return `forward ${request.model}, batch ${request.batch}`;
    case 'matmul':
      return `matmul ${request.size}`;
    case 'product':
      return `${request.problem.op}${stored}`;
    case 'elementwise':
      return `elementwise max(xy + x, 0), ${request.count} elements`;
  }
}

/** The file of a module beside this one. */
export const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
