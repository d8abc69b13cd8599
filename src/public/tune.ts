/**
 * Which kernels run: measuring candidates, and tables of measured choices.
 *
 * @packageDocumentation
 */

export {
  deviceTuning,
  readTuning,
  setDeviceTuning,
  tuningIdentity,
  tuningPath,
  writeTuning,
} from '../choices/stored.js';
export type { StoredTuning, TuningIdentity } from '../choices/stored.js';
export { TuningTable } from '../choices/table.js';
export type { TunedEntry } from '../choices/table.js';
export { tuneProgram } from '../tune/tuner.js';
export type { CandidateResult, TunedProblem, TuneOptions } from '../tune/tuner.js';
export { sumOrders } from '../kernels/problem.js';
export type { KernelChoice, KernelChoices, ProductKernel, SumOrder, TuningProblem } from '../kernels/problem.js';
export type { Stage } from '../kernels/staging.js';
export type { MatrixKernel } from '../kernels/matrices.js';
export type { WinogradKernel } from '../kernels/problem.js';
export type { Tile } from '../kernels/tiles.js';
