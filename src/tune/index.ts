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
} from '../choices/stored.js';
export type { StoredTuning, TuningIdentity } from '../choices/stored.js';
export { compareWorkloads } from './compare.js';
export type { Comparison } from './compare.js';
export { heavyProblems } from './heavy.js';
export { agreed, choiceName, problemKey, TuningTable } from '../choices/table.js';
export type { TunedEntry } from '../choices/table.js';
export { changesOrder, problemsOf, tuneProgram } from './tuner.js';
export type { CandidateResult, TunedProblem, TuneOptions } from './tuner.js';
