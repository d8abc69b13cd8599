/** The LinBP theory: closed forms, theorems as programs, sampled gradients and the two student-teacher simulations. */
export * from './closedForm.js';
export * from './theorems.js';
export { monteCarlo } from './monteCarlo.js';
export type { MonteCarloEstimate, MonteCarloResult, MonteCarloSettings } from './monteCarlo.js';
export * from './simulate.js';
export { drawAttackArrays } from './simulateReference.js';
export type { Band, CurveStatistics } from './statistics.js';
