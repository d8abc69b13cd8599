/**
 * Files: tensors and images.
 *
 * @packageDocumentation
 */

export {
  decodeSafetensors,
  encodeSafetensors,
  readSafetensors,
  tensorAsFloat32,
  tensorAsInt32,
  writeSafetensors,
} from '../io/safetensors.js';
export { safetensorsItemBytes } from '../io/safetensorsHeader.js';
export { torchItemBytes } from '../io/torch/dtypes.js';
export type {
  SafetensorsDtype,
  SafetensorsEntry,
  SafetensorsFile,
  SafetensorsTensor,
  StoredTensor,
  TensorToWrite,
} from '../io/safetensors.js';
export { readTorch } from '../io/torch/index.js';
export type { ReadTorchOptions, TorchDtype, TorchTensor } from '../io/torch/index.js';
export { decodePng, encodePng, readPng, writePng } from '../io/png.js';
export type { EightBitImage } from '../io/png.js';
export { quantize } from '../io/quantize.js';
