export {
  readTuning,
  setDeviceTuning,
  shippedName,
  tuningIdentity,
  tuningPath,
  writeTuning,
} from '../choices/stored.js';
export type { TuningIdentity } from '../choices/stored.js';
export { compareWorkloads } from './compare.js';
export type { Comparison } from './compare.js';
export { heavyProblems } from './heavy.js';
export { agreed, choiceName, TuningTable } from '../choices/table.js';
export { changesOrder, problemsOf, tuneProgram } from './tuner.js';
export type { TunedProblem } from './tuner.js';
