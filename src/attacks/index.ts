export * from './adaptive.js';
export { attack, Attack } from './attack.js';
export type { AttackRun } from './attack.js';
export { attackFlags, outputFlags } from './alarms.js';
export type { AttackFlag, JudgedRun } from './alarms.js';
export { attackDefinition, attackNames, attacks } from './builtin.js';
export type { AttackName } from './builtin.js';
export type { AttackInput } from './input.js';
export { pgdInputs } from './pgdInputs.js';
export type { InnerAttack } from './pgdInputs.js';
export { intermediateLevel } from './intermediate.js';
export type { AttackOptions, AttackSettings } from './options.js';
export type { AttackedSample, AttackFigures, AttackResult, CurvePoint, Passes } from './result.js';
export * from './stages.js';
export { diverseInputs, gaussianKernel, noisyQuery, paddedSide, smoothedGradient } from './transforms.js';
export { autoAttack } from './autoattack.js';
export type {
  AutoAttackFlag,
  AutoAttackOptions,
  AutoAttackResult,
  AutoAttackStage,
  AutoAttackStageName,
  AutoAttackVersion,
} from './autoattack.js';
export { gradientSamplings, inputTransforms } from './transfer.js';
export { attackCatalog, describeAttack } from './catalog.js';
export type { DescribedAttack, DescribedOption } from './catalog.js';
export type { AutoAttackImage, AutoAttackState } from './autoattackState.js';
