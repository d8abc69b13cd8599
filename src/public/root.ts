/**
 * Trains ReLU networks and crafts adversarial examples on the GPU, with a switchable backward rule.
 *
 * @packageDocumentation
 */

// Devices
export { Device } from '../runtime/device.js';
export type { BufferRequest, DeviceCounters, DeviceOptions, SubmitOptions } from '../runtime/device.js';
export { listAdapters } from '../runtime/adapter.js';
export { selfTest } from '../program/deviceSelfTest.js';
export type { SelfTestMode, SelfTestReport, WrongKernel } from '../program/deviceSelfTest.js';
export type { AdapterInfo, ListedAdapter, SubgroupMatrixConfig } from '../runtime/adapter.js';
export type { Failures } from '../runtime/failures.js';
export type { Turns } from '../runtime/turns.js';
export type { DriverSource } from '../runtime/driver.js';
export type { BufferKind, MemoryUse } from '../runtime/memory.js';
export type { PipelineRequest } from '../runtime/pipelines.js';
export { LinbpError } from '../errors.js';
export type { LinbpErrorCode } from '../errors.js';

// Networks
export { headOf, withClasses } from '../nn/head.js';
export type { Head } from '../nn/head.js';
export { initialState, Model, readStateDict } from '../nn/model.js';
export type { LogitsOptions, ReadWeightsOptions } from '../nn/model.js';
export type { HostModel, StateDict } from '../nn/model.js';
export { addModel, addStores, describeModel, positionTable } from '../nn/definition.js';
export type {
  GraphStores,
  ModelDefinition,
  ModelDescription,
  ModelInGraph,
  ParameterLayout,
} from '../nn/definition.js';
export { NetBuilder } from '../nn/builder.js';
export type {
  BatchNormOptions,
  Branch,
  BuildMode,
  ConvOptions,
  DropoutSource,
  ParameterKind,
  ParameterSource,
  ParameterSpec,
  PoolOptions,
} from '../nn/builder.js';
export { cifar10Statistics, normalized } from '../nn/normalize.js';
export type { PixelStatistics } from '../nn/normalize.js';
export { accuracy, argmax, predict } from '../nn/predict.js';
export type { PredictOptions } from '../nn/predict.js';
export { modelDefinition, modelNames, robustbenchNames, torchvisionNames } from '../nn/zoo/index.js';

// ONNX
export { exportOnnx, importOnnx, onnxInputNames, readOnnxTensor, runOnnx } from '../onnx/index.js';
export type {
  ExportOptions,
  ImportedModel,
  ImportOptions,
  OnnxSummary,
  OnnxTensor,
  RunOnnxOptions,
  RunOnnxResult,
} from '../onnx/index.js';

// Backward rules
export { bp, deconvnet, guided, leaky, linbp, silu, softplus } from '../rules/builtin.js';
export { activationMatched } from '../rules/activationMatched.js';
export type { ActivationMatchedOptions, MatchScope } from '../rules/activationMatched.js';
export { blockMatched } from '../rules/blockMatched.js';
export { scaledEdge } from '../rules/scaledEdge.js';
export { softmaxPool } from '../rules/softmaxPool.js';
export { formatRules, parseRules } from '../rules/parse.js';
export { ruleNames } from '../rules/table.js';
export type { RuleName } from '../rules/table.js';
export type { RuleMatch, RuleSpec } from '../rules/parse.js';
export { everywhere, resolveRules } from '../rules/resolve.js';
export { selectPositions } from '../rules/select.js';
export type { ActivationPosition, BranchPlace, PositionKind, PositionTable } from '../rules/positions.js';
export type {
  ActivationBackward,
  BatchUse,
  EdgeBackward,
  EmitContext,
  EmittingRule,
  MaxPoolBackward,
  RegionContext,
  RegionBackward,
  BackwardSelection,
} from '../graph/backward.js';
export type { ScalarFunctionName } from '../graph/functions.js';
export type { FoundPreprocessing } from '../onnx/recognize/preprocessing.js';
export type { ElementType, HostTensor } from '../onnx/types.js';
export type { ActivationKind, PointwiseRule, RuleSaves, BoundRule } from '../graph/rule.js';
export { registerFunction } from '../rules/userFunction.js';
export type { UserFunction } from '../rules/userFunction.js';
export type { BuiltinFunctionName, RegisteredFunctionName } from '../graph/functions.js';
export { jsRule, useRule, wgslRule } from '../rules/user.js';
export type { JavaScriptRule, UserRule, WgslRule } from '../rules/user.js';

// Training
export { Trainer } from '../train/trainer.js';
export { balancedClassWeights } from '../train/classWeights.js';
export type { ResumedRun } from '../train/checkpoint.js';
export type { EvaluateOptions, FitOptions } from '../train/fitOptions.js';
export type { TrainerOptions } from '../train/settings.js';
export type { EpochResult, Evaluation, FitResult, StepResult, TrainingProgress } from '../train/progress.js';
export type { LossScaleOptions, LossScaleState } from '../train/lossScale.js';
export { adam, adamw, sgd } from '../train/optimizers.js';
export type { AdamOptions, Optimizer, OptimizerTensors, SgdOptions } from '../train/optimizers.js';
export { bestEpoch } from '../train/best.js';
export type { BestWeights } from '../train/best.js';
export { constant, cosine, exponential, warmup } from '../train/schedules.js';
export type { Schedule } from '../train/schedules.js';
export { cropAndFlip, inOrder } from '../train/augmentation.js';
export type { CropFlipOptions } from '../train/augmentation.js';
export type { InputContext, InputStage, Objective, ObjectiveTensors } from '../train/step.js';

// Attacks
export * from '../attacks/index.js';

// Data
export { datasetNames, loadDataset } from '../data/load.js';
export type { LoadOptions } from '../data/load.js';
export { batchLabels, batchPixels, fromArrays, selectSamples, subset } from '../data/dataset.js';
export type { Dataset, DatasetArrays, Split } from '../data/dataset.js';
export type { ClassSource } from '../data/classes.js';
export { drawDigits } from '../data/digits.js';
export type { DigitsOptions } from '../data/digits.js';
export type { DecodeProgress } from '../data/images.js';
export type { FitOptions as ImageFitOptions } from '../data/resize.js';
