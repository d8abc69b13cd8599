import { expectList } from '../arguments.js';
import type { AttackResult } from './result.js';
import { shownEps } from './shownEps.js';
import type { AttackNorm } from './stages.js';

/*
 * Signs that an attack found less than there is, because gradients do not lead where the loss rises: A. Athalye, N.
 * Carlini, D. Wagner, "Obfuscated gradients give a false sense of security", 2018; N. Carlini et al., "On evaluating
 * adversarial robustness", 2019; and the flags of AutoAttack's code.
 */

/** Something that a reader of the figures has to know. */
export interface AttackFlag {
  readonly name:
    | 'gradient-masking'
    | 'zero-gradient'
    | 'probabilities'
    | 'few-classes'
    | 'no-l1-square'
    | 'not-randomized'
    | 'depends-on-batch';
  readonly message: string;
  /** The runs that it is about, all where it is about the network; eps is null where any perturbation counts. */
  readonly runs?: readonly { readonly attack: string; readonly rule: string; readonly eps: number | null }[];
}

/** An attack that was run, as far as alarms look at it. */
export interface JudgedRun {
  /** What it is called in messages. */
  readonly attack: string;
  readonly rule: string;
  readonly norm: AttackNorm;
  /** Infinity where any perturbation counts. */
  readonly eps: number;
  /** It looks for the smallest perturbation. */
  readonly minimal: boolean;
  readonly targeted: boolean;
  readonly alpha: number;
  readonly result: Pick<
    AttackResult,
    'samples' | 'count' | 'robustAccuracy' | 'cleanAccuracy' | 'cleanCorrect' | 'gradients'
  >;
  /** Robust accuracy under random noise of the same norm, where it was tried. */
  readonly noise?: number;
}

/** Robust accuracy that may differ without meaning anything: AutoAttack's bounds for Square and for FAB. */
const slack = { search: 0.002, minimal: 0.02, rules: 0.02 } as const;

/** Share of the images whose loss may stay the same. */
export const stillShare = 0.01;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** What tells a run from others of a command. */
type RunLabel = Pick<JudgedRun, 'attack' | 'rule' | 'eps'>;

/** How messages name runs: `whole` also with the radius, where there are several. */
interface Names {
  readonly short: (run: RunLabel) => string;
  readonly whole: (run: RunLabel) => string;
}

/** Names that tell each of these runs from the others: the rule unless all have `bp`, and the radius if it varies. */
export function runNames(runs: readonly RunLabel[]): Names {
  const rules = new Set(runs.map(({ rule }) => rule));
  const radii = new Set(runs.map(({ eps }) => eps).filter(Number.isFinite));
  const short = ({ attack, rule }: RunLabel): string =>
    rule === 'bp' && rules.size < 2 ? attack : `${attack} under ${rule}`;
  const whole = (run: RunLabel): string =>
    radii.size > 1 && Number.isFinite(run.eps) ? `${short(run)} at eps ${shownEps(run.eps)}` : short(run);
  return { short, whole };
}

/** The same alarm with the runs that it is about. */
export function flagAbout(flag: AttackFlag, runs: readonly RunLabel[]): AttackFlag {
  const about = runs.map(({ attack, rule, eps }) => ({ attack, rule, eps: Number.isFinite(eps) ? eps : null }));
  return { ...flag, runs: about };
}

const masking = (message: string): AttackFlag => ({ name: 'gradient-masking', message });

/** What one run alone shows. */
function ownFlags(run: JudgedRun, { short, whole }: Names): AttackFlag[] {
  const { result, eps, alpha, targeted, norm, noise } = run;
  const flags: AttackFlag[] = [];
  if (result.gradients === 0 || eps === 0) return flags;
  const right = result.samples.filter(({ cleanCorrect }) => cleanCorrect);
  const standing = right.filter(({ success, robustCorrect }) => robustCorrect && !success);
  const still = standing.filter(({ loss, cleanLoss, unmoved }) => unmoved === true || loss === cleanLoss);
  if (alpha > 0 && !run.minimal && still.length > stillShare * right.length) {
    const message =
      `${whole(run)}: no step changed the loss of ${still.length} ` +
      `of ${right.length} images; their gradients are zero or masked`;
    flags.push({ name: 'zero-gradient', message });
  }
  const fallen = standing.filter(({ loss, cleanLoss }) => loss < cleanLoss);
  if (!targeted && !run.minimal && run.rule === 'bp' && fallen.length > 0.1 * right.length)
    flags.push(
      masking(`${whole(run)}: the loss fell on ${fallen.length} of ${right.length} images although it is climbed`),
    );
  if (noise !== undefined && !targeted && noise < result.robustAccuracy - slack.search)
    flags.push(
      masking(
        `random noise leaves ${percent(noise)} right, ${whole(run)} ${percent(result.robustAccuracy)}: ` +
          'its gradients are masked or its steps too small',
      ),
    );
  // A ball that reaches uniform gray from every image leaves at most one class right.
  const most = Math.max(...counts(result.samples.map(({ label }) => label))) / result.count;
  if (!targeted && norm === 'linf' && eps >= 0.5 && result.robustAccuracy > most + slack.search)
    flags.push(
      masking(
        `at eps ${shownEps(eps)} one image can look like any other, but ` +
          `${percent(result.robustAccuracy)} stay right under ${short(run)}`,
      ),
    );
  return flags.map((flag) => flagAbout(flag, [run]));
}

function counts(labels: readonly number[]): number[] {
  const found = new Map<number, number>();
  for (const label of labels) found.set(label, (found.get(label) ?? 0) + 1);
  return [0, ...found.values()];
}

const same = (a: JudgedRun, b: JudgedRun): boolean =>
  a.norm === b.norm && a.targeted === b.targeted && Math.min(a.eps, b.eps) === Math.max(a.eps, b.eps);

/** What two runs show together; `run` is the one that is too weak. */
function pairFlag(run: JudgedRun, other: JudgedRun, { whole }: Names): AttackFlag | undefined {
  const [own, others] = [run.result.robustAccuracy, other.result.robustAccuracy];
  const text = `${whole(other)} leaves ${percent(others)} right, ${whole(run)} ${percent(own)}`;
  if (run.result.gradients > 0 && !run.minimal && same(run, other)) {
    const bound = other.minimal ? slack.minimal : slack.search;
    if (run.rule === other.rule && (other.result.gradients === 0 || other.minimal) && others < own - bound)
      return masking(`${text}: gradients are probably masked`);
    if (run.attack === other.attack && run.rule === 'bp' && other.rule !== 'bp' && others < own - slack.rules)
      return masking(`${text}: the true gradient is probably masked`);
  }
  const series = run.attack === other.attack && run.rule === other.rule && run.norm === other.norm;
  if (series && run.targeted === other.targeted && run.eps > other.eps && others < own - slack.search)
    return masking(`${text}, although its ball of ${shownEps(other.eps)} lies inside that of ${shownEps(run.eps)}`);
  return undefined;
}

/**
 * Alarms of attacks on one network and one set of images: gradients that are zero, losses that fall, noise, searches,
 * other rules and smaller balls that do more harm, balls in which nothing could stay right.
 *
 * @param all what was run, with runs that are not judged: messages tell each run from all others
 */
export function attackFlags(
  runs: readonly JudgedRun[],
  all: readonly Pick<JudgedRun, 'attack' | 'rule' | 'eps'>[] = runs,
): AttackFlag[] {
  expectList(runs, 'runs', { result: 'object' });
  const names = runNames(all);
  const pairs = runs.flatMap((run) =>
    runs.flatMap((other): AttackFlag[] => {
      const flag = run === other ? undefined : pairFlag(run, other, names);
      return flag === undefined ? [] : [flagAbout(flag, [run, other])];
    }),
  );
  return [...runs.flatMap((run) => ownFlags(run, names)), ...pairs];
}

/** Outputs that are probabilities have lost the gradients of a confident network: each row is in [0, 1] with sum 1. */
export function outputFlags(logits: ArrayLike<number>, classes: number): AttackFlag[] {
  expectList(logits, 'logits');
  for (let row = 0; row < logits.length / classes; row++) {
    let sum = 0;
    for (let k = row * classes; k < (row + 1) * classes; k++) {
      if (!(logits[k]! >= 0 && logits[k]! <= 1)) return [];
      sum += logits[k]!;
    }
    if (Math.abs(sum - 1) > 1e-4) return [];
  }
  const message = 'the outputs look like probabilities; attacks need the logits before the softmax';
  return logits.length === 0 ? [] : [{ name: 'probabilities', message }];
}
