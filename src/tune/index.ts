export { candidates, refinements } from './candidates.js';
export {
  deviceTuning,
  readTuning,
  setDeviceTuning,
  shippedName,
  shippedTuning,
  tuningIdentity,
  tuningPath,
  writeTuning,
} from './cache.js';
export type { StoredTuning, TuningIdentity } from './cache.js';
export { compareWorkloads } from './compare.js';
export type { Comparison } from './compare.js';
export { heavyProblems } from './heavy.js';
export { agreed, choiceName, problemKey, TuningTable } from './table.js';
export type { TunedEntry } from './table.js';
export { changesOrder, problemsOf, tuneProgram } from './tuner.js';
export type { CandidateResult, TunedProblem, TuneOptions } from './tuner.js';
