import type { Interval } from './statistics.js';
import { verdictOf } from './statistics.js';
import type { Statement } from './types.js';

/** A share as a percentage. */
export const percent = (share: number, decimals = 1): string => `${(100 * share).toFixed(decimals)} %`;

/** What reports call the two rules. */
export const ruleTitle = (rule: string): string => (rule === 'bp' ? 'BP' : 'LinBP');

/** A number in four significant digits. */
export const short = (value: number): string =>
  Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);

/** `mean [low, high]`; of one seed there is no interval. */
export const shownInterval = ({ mean, low, high }: Interval): string =>
  Number.isFinite(low) && Number.isFinite(high)
    ? `${short(mean)} [${short(low)}, ${short(high)}]`
    : `${short(mean)} [one seed, no interval]`;

/** The same in percentage points. */
export const shownPoints = ({ mean, low, high }: Interval): string => {
  const points = (value: number): string => `${value >= 0 ? '+' : ''}${(100 * value).toFixed(1)}`;
  return `${points(mean)} points [${points(low)}, ${points(high)}]`;
};

/** A statement whose truth is that an interval lies above (or below) zero. */
export function claim(text: string, difference: Interval, wanted: 'above' | 'below'): Statement {
  const found = verdictOf(difference);
  return { text, verdict: found === 'open' ? 'open' : found === wanted ? 'holds' : 'fails' };
}
