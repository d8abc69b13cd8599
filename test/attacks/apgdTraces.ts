import type { AttackLoss, AttackNorm, AttackOptions } from '../../src/attacks/index.js';
import { attackFixture } from './replay.js';

/** Eight images under APGD in the official code, in float64. */
export interface Trace {
  readonly model: string;
  readonly set: string;
  readonly images: readonly number[];
  readonly labels: readonly number[];
  readonly norm: 'Linf' | 'L2' | 'L1';
  readonly eps_value: number;
  readonly loss: 'ce' | 'dlr' | 'dlr-targeted';
  readonly start_key: string;
  readonly targets: readonly number[] | null;
  /** How far each image's losses move when the weights are perturbed by float64 rounding. */
  readonly rounding: readonly number[] | null;
  /** [31, 8] */
  readonly losses: readonly number[];
  /** [30, 8] */
  readonly steps: readonly number[];
}

export const traces = attackFixture<Readonly<Record<string, Trace>>>('apgd-traces');
export const steps = 30;

export const optionsOf = ({ norm, eps_value: eps, loss, targets }: Trace): Omit<AttackOptions, 'model'> => ({
  ...{ attack: 'apgd', norm: norm.toLowerCase() as AttackNorm, eps, steps },
  ...{ loss: (loss === 'ce' ? 'ce' : 'dlr') as AttackLoss, targeted: targets !== null },
});
