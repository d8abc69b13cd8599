import type { OpName } from '../graph/types.js';
import { lowerBatchNormScaleShift, lowerBatchNormStatistics, lowerChannelSums } from './batchNorm.js';
import { lowerChannelPad, lowerChannelSlice, lowerConcat } from './channels.js';
import { lowerDropout } from './dropout.js';
import { lowerConv2d, lowerConv2dInputGradient, lowerLinear, lowerLinearInputGradient, lowerMatmul } from './gemm.js';
import { lowerAxisMatrix, lowerExpand, lowerPad, lowerSlice, lowerTranspose } from './layout.js';
import { lowerSampleField } from './fields.js';
import { lowerAxisMap, lowerGridSample } from './imageMaps.js';
import { lowerClassAtRank, lowerCorrect, lowerLoss, lowerLossBackward } from './loss.js';
import { lowerAssign, lowerMap } from './map.js';
import { lowerCustom } from './custom.js';
import { lowerNormalize, lowerNormalizeBackward } from './normalize.js';
import { lowerLogColumn, lowerOverflow, lowerRecord, lowerSampleNorm } from './norm.js';
import { lowerSampleRoot } from './sampleRoot.js';
import {
  lowerAdd,
  lowerBatchNormApply,
  lowerBatchNormInputGradient,
  lowerActivation,
  lowerActivationBackward,
  lowerBinary,
  lowerScaleShift,
  lowerUnary,
  lowerUnaryBackward,
} from './pointwise.js';
import { lowerReduce, lowerReduceMaxBackward } from './reduceAxes.js';
import { lowerLogSoftmax, lowerLogSoftmaxBackward, lowerSoftmax, lowerSoftmaxBackward } from './softmax.js';
import {
  lowerAdaptiveAvgPool2d,
  lowerAdaptiveAvgPool2dBackward,
  lowerAvgPool2d,
  lowerAvgPool2dBackward,
  lowerMaxPool2d,
  lowerMaxPool2dBackward,
  lowerMaxPool2dSoftmaxBackward,
} from './pooling.js';
import {
  lowerGatherImages,
  lowerGatherLabels,
  lowerRandom,
  lowerRandomCropFlip,
  lowerRandomResizePad,
} from './source.js';
import type { Lowering } from './types.js';
import { lowerConv2dWeightGradient, lowerLinearWeightGradient } from './weightGradient.js';

/** How each op becomes dispatches; a missing one is a compile error. */
export const loweringTable: { readonly [K in OpName]: Lowering<K> } = {
  conv2d: lowerConv2d,
  conv2dInputGradient: lowerConv2dInputGradient,
  conv2dWeightGradient: lowerConv2dWeightGradient,
  linear: lowerLinear,
  linearInputGradient: lowerLinearInputGradient,
  linearWeightGradient: lowerLinearWeightGradient,
  matmul: lowerMatmul,
  activation: lowerActivation,
  activationBackward: lowerActivationBackward,
  scaleShift: lowerScaleShift,
  batchNormScaleShift: lowerBatchNormScaleShift,
  batchNormStatistics: lowerBatchNormStatistics,
  batchNormApply: lowerBatchNormApply,
  batchNormInputGradient: lowerBatchNormInputGradient,
  channelSums: lowerChannelSums,
  concat: lowerConcat,
  channelPad: lowerChannelPad,
  channelSlice: lowerChannelSlice,
  dropout: lowerDropout,
  softmax: lowerSoftmax,
  softmaxBackward: lowerSoftmaxBackward,
  normalize: lowerNormalize,
  normalizeBackward: lowerNormalizeBackward,
  logSoftmax: lowerLogSoftmax,
  logSoftmaxBackward: lowerLogSoftmaxBackward,
  add: lowerAdd,
  maxPool2d: lowerMaxPool2d,
  maxPool2dBackward: lowerMaxPool2dBackward,
  maxPool2dSoftmaxBackward: lowerMaxPool2dSoftmaxBackward,
  avgPool2d: lowerAvgPool2d,
  avgPool2dBackward: lowerAvgPool2dBackward,
  adaptiveAvgPool2d: lowerAdaptiveAvgPool2d,
  adaptiveAvgPool2dBackward: lowerAdaptiveAvgPool2dBackward,
  unary: lowerUnary,
  unaryBackward: lowerUnaryBackward,
  binary: lowerBinary,
  reduce: lowerReduce,
  reduceMaxBackward: lowerReduceMaxBackward,
  expand: lowerExpand,
  transpose: lowerTranspose,
  slice: lowerSlice,
  pad: lowerPad,
  axisMatrix: lowerAxisMatrix,
  // a view: the memory plan gives both tensors one place
  reshape: () => [],
  loss: lowerLoss,
  lossBackward: lowerLossBackward,
  correct: lowerCorrect,
  classAtRank: lowerClassAtRank,
  sampleNorm: lowerSampleNorm,
  sampleRoot: lowerSampleRoot,
  axisMap: lowerAxisMap,
  gridSample: lowerGridSample,
  sampleField: lowerSampleField,
  overflow: lowerOverflow,
  map: lowerMap,
  custom: lowerCustom,
  random: lowerRandom,
  randomCropFlip: lowerRandomCropFlip,
  randomResizePad: lowerRandomResizePad,
  gatherImages: lowerGatherImages,
  gatherLabels: lowerGatherLabels,
  record: lowerRecord,
  logColumn: lowerLogColumn,
  assign: lowerAssign,
};
