import { check, LinbpError } from '../../errors.js';
import { decodeSafetensors, encodeSafetensors, tensorAsFloat32 } from '../../io/safetensors.js';
import { isHash } from '../../jobs/description.js';
import { getBlob, putBlob } from '../../jobs/store.js';
import type { JobStore } from '../../jobs/store.js';
import type { ModelDefinition } from '../../nn/definition.js';
import type { StateDict } from '../../nn/model.js';
import { isModelName, modelDefinition } from '../../nn/zoo/index.js';
import { readModelBytes } from '../../onnx/decode.js';
import { importOnnx } from '../../onnx/index.js';
import { quotedValue } from '../../quote.js';
import { adaptedModel } from '../common.js';

/** A network as jobs describe it: by name or by the content of its ONNX file, and by the content of its weights. */
export interface NetworkDescription {
  readonly model?: string;
  readonly onnx?: string;
  readonly classes?: number | undefined;
  readonly normalize?: string | undefined;
  readonly weights: string;
}

/** Most bytes of an ONNX file: what protobuf allows. */
const maxOnnxBytes = 2 ** 31 - 1;

/**
 * Stores a network. Throws `unsupported` for a model that is a module: jobs carry no code. Throws `bad-file` for ONNX
 * files whose weights lie in other files.
 */
export async function putNetwork(
  store: JobStore,
  options: { readonly model: string; readonly classes?: number | undefined; readonly normalize?: string | undefined },
  weights: StateDict,
): Promise<NetworkDescription> {
  const { model, classes, normalize } = options;
  const blob = await putBlob(store, Buffer.concat(encodeSafetensors(weights)));
  const rest = { classes, normalize, weights: blob };
  if (isModelName(model)) return { model, ...rest };
  check(
    /\.onnx$/i.test(model),
    'unsupported',
    `${model} is a module, and jobs carry no code; export the network as ONNX, or run without --queue and --workers`,
    'model',
  );
  const bytes = await readModelBytes(model);
  await importOnnx(bytes);
  return { onnx: await putBlob(store, bytes), ...rest };
}

/** Reads a network from the store, checked. Throws typed errors for what is none. */
export async function getNetwork(
  store: JobStore,
  value: unknown,
): Promise<{ readonly definition: ModelDefinition; readonly weights: StateDict }> {
  const { model, onnx, classes, normalize, weights } = (value ?? {}) as Partial<NetworkDescription>;
  check(isHash(weights), 'bad-argument', 'a network needs the hash of its weights', 'weights');
  const valid =
    (classes === undefined || (Number.isSafeInteger(classes) && classes >= 2 && classes <= 1e6)) &&
    (normalize === undefined || (typeof normalize === 'string' && normalize.length <= 1000));
  check(valid, 'bad-argument', 'classes and normalize of the network are not valid', 'network');
  // Only names of the list are ever looked up: a job names no file.
  const named = typeof model === 'string' && isModelName(model) ? modelDefinition(model) : undefined;
  let plain = named;
  if (plain === undefined) {
    check(isHash(onnx), 'unknown-model', `a job names the unknown model ${quotedValue(model)}`, 'model');
    plain = await importOnnx(await getBlob(store, onnx, maxOnnxBytes));
  }
  const definition = adaptedModel(plain, { classes, normalize });
  const file = decodeSafetensors(await getBlob(store, weights));
  const state: StateDict = new Map(
    [...file.tensors].map(([name, tensor]) => {
      if (tensor.dtype !== 'F32')
        throw new LinbpError('bad-file', `weights of a job must be float32, got ${tensor.dtype}`, { field: 'weights' });
      return [name, { shape: [...tensor.shape], data: tensorAsFloat32(tensor) }];
    }),
  );
  return { definition, weights: state };
}
