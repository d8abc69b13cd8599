export * from './adaptive.js';
export { attack, Attack } from './attack.js';
export type { AttackRun } from './attack.js';
export { attackDefinition, attackNames, attacks } from './builtin.js';
export type { AttackName } from './builtin.js';
export type { AttackInput } from './input.js';
export type { AttackOptions, AttackSettings } from './options.js';
export type { AttackedSample, AttackFigures, AttackResult, CurvePoint } from './result.js';
export * from './stages.js';
