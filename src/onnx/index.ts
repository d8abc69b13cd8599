import { decodeModel } from './decode.js';
import { decodeMessage } from './schema.js';
import { readTensor } from './tensors.js';
import type { HostTensor } from './types.js';
import { LinbpError } from '../errors.js';

export { exportOnnx } from './export.js';
export type { ExportOptions } from './export.js';
export { importOnnx } from './import.js';
export type { ImportedModel, ImportOptions, OnnxSummary } from './import.js';
export { runOnnx } from './run.js';
export type { OnnxTensor, RunOnnxOptions, RunOnnxResult } from './run.js';

/**
 * Reads a serialized `TensorProto`, as ONNX's test data holds them.
 *
 * @throws LinbpError `bad-file` or `unsupported`
 */
export function readOnnxTensor(bytes: Uint8Array): HostTensor {
  let raw;
  try {
    raw = decodeMessage('TensorProto', bytes);
  } catch (error) {
    throw new LinbpError('bad-file', 'not a serialized ONNX tensor', { cause: error });
  }
  return readTensor(raw, { source: 'the tensor', external: undefined });
}

/**
 * Names of a graph's inputs that are no initializers, in order: what {@link runOnnx} takes as inputs.
 *
 * @param model path of an ONNX file, or its bytes
 * @throws LinbpError `missing-file`; `bad-file`
 */
export const onnxInputNames = async (model: string | Uint8Array): Promise<string[]> =>
  (await decodeModel(model)).graph.inputs.map(({ name }) => name);
