/**
 * Computations that linbp does not know: typed graphs with gradients, compiled to a program for the GPU or run in
 * float64 on the CPU.
 *
 * @packageDocumentation
 */

export { Graph } from '../graph/graph.js';
export type { GraphBuilder, NodeScope } from '../graph/builder.js';
export type {
  ConvAttrs,
  Direction,
  DType,
  ElementwiseFunction,
  LossKind,
  Node,
  OpAttrs,
  OpName,
  Padding,
  Pair,
  PoolAttrs,
  Precision,
  ReduceKind,
  Region,
} from '../graph/types.js';
export type { CustomKernel } from '../graph/customKernel.js';
export type { FieldKind } from '../graph/fields.js';
export type { StepValue, Tensor, TensorKind, TensorView } from '../graph/types.js';
export { gradients } from '../autodiff/gradients.js';
export type { GradientOptions } from '../autodiff/gradients.js';
export { Program } from '../program/program.js';
export type { CompiledDispatch, CompileOptions, Location, RunOptions, SegmentRun } from '../program/program.js';
export type { Lifetime, Placement, Plan } from '../plan/plan.js';
export type { Group } from '../passes/group.js';
export type { Access, Operand, UniformParameter } from '../kernels/types.js';
export type { DispatchSchedule, ScheduledDispatch } from '../plan/schedule.js';
export type { ImageLocation } from '../program/transfer.js';
export type { ReferenceArray } from '../reference/types.js';
export { StepTable } from '../program/steps.js';
export type { StepFields } from '../program/steps.js';
export { ReferenceRun } from '../reference/run.js';
export type { StepRow } from '../reference/run.js';
export { normals, uniforms } from '../random/philox.js';
export type { AveragePoolAttrs } from '../graph/geometry.js';
