import { expectFields, expectMembers, expectObject, expectOneOf } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check } from '../errors.js';
import type { Precision } from '../graph/types.js';
import { leastClasses } from '../ops/loss.js';
import { counted, quotedValue } from '../quote.js';
import type { HostModel, Model } from '../nn/model.js';
import type { ModelDefinition } from '../nn/definition.js';
import { describeModel, positionTable } from '../nn/definition.js';
import { parseRules } from '../rules/parse.js';
import type { PointwiseRule } from '../graph/rule.js';
import type { RuleSpec } from '../rules/parse.js';
import { resolveRules } from '../rules/resolve.js';
import type { BackwardSelection } from '../graph/backward.js';
import { adaptiveStep } from './adaptive.js';
import { expectOptions, parametersOf } from './available.js';
import { attackDefinition } from './builtin.js';
import type { AttackName } from './builtin.js';
import { lossKinds, queriesPoint } from './stages.js';
import type { AttackDefinition, AttackLoss, AttackNorm } from './stages.js';

/** What to attack, and how. Options that the attack does not look at are refused; `attackCatalog` lists what it has. */
export interface AttackOptions {
  /** The network. Its weights are used as they are when {@link Attack.run} runs, not as they were at compile time. */
  readonly model: Model | HostModel;
  /** `gpu` (default) runs on the model's device, `reference` in float64 on the CPU. */
  readonly device?: 'gpu' | 'reference';
  /** Name of a built-in attack, or a custom one; default `pgd`. */
  readonly attack?: AttackName | AttackDefinition;
  /** Default `linf`. */
  readonly norm?: AttackNorm;
  /**
   * Radius of the ball in pixels of [0, 1], for instance 8/255; for L-infinity at most 1. May be left out for attacks
   * that look for the smallest perturbation; with it they keep the smallest of those inside, or the clean image.
   */
  readonly eps?: number;
  /**
   * Step size in pixels; by default eps for FGSM, 2.5 eps/steps for PGD, 2 eps (the first one) for APGD, eps/steps
   * for the rest.
   */
  readonly alpha?: number;
  /**
   * Gradient steps of each restart, 1 to 100000; default 1 for FGSM (no other is possible), 100 for APGD and 10 for
   * the rest.
   */
  readonly steps?: number;
  /** How many times to start; the best image is kept; 1 to 1000, above 1 only with a random start. Default 1. */
  readonly restarts?: number;
  /** Begin at a random point of the ball; default true for PGD and APGD (there on its edge), false for the rest. */
  readonly randomStart?: boolean;
  /** Drive images towards given classes instead of away from their own. */
  readonly targeted?: boolean;
  /** What is maximized (for targeted attacks: minimized at the target); default `ce`. */
  readonly loss?: AttackLoss;
  /** Decay factor of the momentum in attacks that have one, at least 0; default 1. */
  readonly decay?: number;
  /**
   * Expectation over transforms: every gradient is the mean of so many, each with its own random numbers, 1 to
   * 1000; default 1. Step attacks only. Without a transform between point and network the gradients would be equal,
   * and one is taken.
   */
  readonly eot?: number;
  /**
   * Backward rule of the gradient, such as `linbp:from=fc.1`, parsed or resolved; default `bp`. Success never depends
   * on it but through the images.
   */
  readonly rules?: string | readonly RuleSpec[] | BackwardSelection;
  /** Rules that the notation may name beside the built-in ones. */
  readonly userRules?: readonly PointwiseRule[];
  /** Images per program; default 64. Results do not depend on it. */
  readonly batch?: number;
  /** 0 to 2^32 - 1; default 0. */
  readonly seed?: number;
  /**
   * `best`: of all iterates and the clean image, the fooling one with the best loss, or where none fools the one with
   * the best loss. `last`: the last iterate. Default `best` for PGD, APGD and attacks that search, `last` for the rest,
   * whose images are meant for other networks.
   */
  readonly keep?: 'best' | 'last';
  /**
   * The first iterate that fools the network is the result, with `keep: 'best'`; default false. Such images can leave
   * the batch, see `compact`.
   */
  readonly stopAtSuccess?: boolean;
  /** With an L1 ball, APGD's steps are spent on three times, twice and once the radius; default false. APGD only. */
  readonly shrinkRadius?: boolean;
  /** How many classes are tried as targets, for attacks that rank them; default 9, or all there are. */
  readonly rankedTargets?: number;
  /** Attack-specific options by name; see `parameters` of the definition. */
  readonly parameters?: Readonly<Record<string, number>>;
  /**
   * `f16` stores activations and gradients inside the network in 16 bits; iterates, logits and losses stay in f32.
   * Default `f32`.
   */
  readonly precision?: Precision;
  /** Fuse pointwise chains into kernels; default true. */
  readonly fuse?: boolean;
  /** Called after each compiled pipeline. */
  readonly onCompile?: (done: number, total: number) => void;
}

/** {@link AttackOptions} with all that has a default filled in and checked. */
export interface AttackSettings {
  readonly definition: AttackDefinition;
  readonly reference: boolean;
  readonly norm: AttackNorm;
  readonly eps: number;
  readonly alpha: number;
  readonly steps: number;
  readonly restarts: number;
  readonly randomStart: boolean;
  readonly targeted: boolean;
  readonly loss: AttackLoss;
  readonly decay: number;
  readonly eot: number;
  readonly rules: BackwardSelection;
  readonly batch: number;
  readonly seed: number;
  readonly keep: 'best' | 'last';
  readonly stopAtSuccess: boolean;
  readonly shrinkRadius: boolean;
  readonly rankedTargets: number;
  readonly parameters: Readonly<Record<string, number>>;
  readonly model: ModelDefinition;
  readonly precision: Precision;
  readonly fuse: boolean;
}

/** Throws `bad-range` unless `value` is a whole number from `least` to `most`. */
export function expectWhole(value: number, least: number, most: number, field: string): void {
  check(
    Number.isInteger(value) && value >= least && value <= most,
    'bad-range',
    `${field} must be a whole number from ${least} to ${most}, got ${value}`,
    field,
  );
}

/** Checks the radius of a ball. */
export function expectEps(eps: number, norm: AttackNorm): void {
  const hint = norm === 'linf' && eps > 1 ? ' (pixels are in [0, 1]: eight levels are 8/255)' : '';
  check(
    typeof eps === 'number' && Number.isFinite(Math.fround(eps)) && eps >= 0 && (norm !== 'linf' || eps <= 1),
    'bad-range',
    `eps must be ${norm === 'linf' ? 'from 0 to 1' : 'at least 0'}, got ${eps}${hint}`,
    'eps',
  );
}

/** Checks a step size in pixels. Throws `bad-range`. */
export function expectAlpha(alpha: number): void {
  check(
    typeof alpha === 'number' && Number.isFinite(Math.fround(alpha)) && alpha >= 0,
    'bad-range',
    `alpha must be at least 0, got ${alpha}`,
    'alpha',
  );
}

/**
 * Settles the rule of every activation of a model. Throws `unknown-rule`, `unknown-layer`, `unknown-option`,
 * `bad-range` or `bad-argument`.
 */
export function selectRules(
  { rules = 'bp', userRules }: Pick<AttackOptions, 'rules' | 'userRules'>,
  model: ModelDefinition,
): BackwardSelection {
  if (typeof rules === 'function') return rules;
  return resolveRules(typeof rules === 'string' ? parseRules(rules, userRules) : rules, positionTable(model));
}

/** The fields of {@link AttackOptions}. */
export const attackFields: FieldNames<AttackOptions> = {
  model: true,
  device: true,
  attack: true,
  norm: true,
  eps: true,
  alpha: true,
  steps: true,
  restarts: true,
  randomStart: 'flag',
  targeted: 'flag',
  loss: true,
  decay: true,
  eot: true,
  rules: true,
  userRules: true,
  batch: true,
  seed: true,
  keep: true,
  stopAtSuccess: 'flag',
  shrinkRadius: 'flag',
  rankedTargets: true,
  parameters: true,
  precision: true,
  fuse: 'flag',
  onCompile: 'function',
};
type Choices = Required<Pick<AttackOptions, 'norm' | 'loss' | 'keep' | 'targeted' | 'precision' | 'device'>>;
type Counts = Required<Pick<AttackOptions, 'steps' | 'restarts' | 'batch' | 'seed' | 'decay' | 'eot'>>;

/** Norm, loss and the like, each by itself and with the attack. */
function checkChoices(definition: AttackDefinition, { norm, loss, keep, targeted, precision, device }: Choices): void {
  expectOneOf(norm, ['linf', 'l2', 'l1'], 'norm');
  checkAttack(definition, norm, targeted);
  expectOneOf(loss, Object.keys(lossKinds) as AttackLoss[], 'loss');
  expectOneOf(keep, ['best', 'last'], 'keep');
  expectOneOf(device, ['gpu', 'reference'], 'device');
  expectOneOf(precision, ['f32', 'f16'], 'precision');
  check(
    precision === 'f32' || device !== 'reference',
    'bad-argument',
    'the reference computes in float64, not in f16',
    'precision',
  );
}

function checkCounts(definition: AttackDefinition, { steps, restarts, batch, seed, decay, eot }: Counts): void {
  expectWhole(steps, 1, 100_000, 'steps');
  check(
    definition.steps === undefined || steps === definition.steps,
    'bad-range',
    `${definition.name} takes ${counted(definition.steps!, 'step')}, got ${steps}`,
    'steps',
  );
  expectWhole(restarts, 1, 1000, 'restarts');
  check(
    restarts * steps <= 1_000_000,
    'bad-range',
    `steps times restarts must be at most 1000000, got ${steps * restarts}`,
    'restarts',
  );
  expectWhole(batch, 1, 65_536, 'batch');
  expectWhole(eot, 1, 1000, 'eot');
  expectWhole(seed, 0, 2 ** 32 - 1, 'seed');
  check(
    typeof decay === 'number' && Number.isFinite(Math.fround(decay)) && decay >= 0,
    'bad-range',
    `decay must be at least 0, got ${decay}`,
    'decay',
  );
}

/** The losses that compare a class with the best of the others need that many. */
function checkClasses(definition: AttackDefinition, model: ModelDefinition, loss: AttackLoss, targeted: boolean): void {
  const ranked = definition.rankedTargets !== undefined;
  const kind = loss === 'dlr' && (targeted || ranked) ? 'dlrTargeted' : lossKinds[loss];
  const least = Math.max(2, leastClasses[kind]);
  check(
    model.classes >= least,
    'bad-range',
    `the ${targeted || ranked ? 'targeted ' : ''}${loss} loss ` +
      `needs at least ${least} classes, ${model.name} has ${model.classes}`,
    'loss',
  );
}

/**
 * Fills in defaults and refuses what cannot be meant.
 *
 * @throws LinbpError `bad-range`, `unknown-option`, `bad-argument`, `unknown-rule`, `unknown-layer`, naming the field
 */
export function settle(options: AttackOptions): AttackSettings {
  expectFields(options, attackFields);
  expectObject(options.model, 'model');
  describeModel(options.model.definition);
  const definition = typeof options.attack === 'object' ? options.attack : attackDefinition(options.attack ?? 'pgd');
  expectMembers(definition, 'attack', { name: 'text', defaultAlpha: 'function' });
  expectOptions(definition, options);
  const {
    norm = normsOf(definition)[0]!,
    loss = definition.defaultLoss ?? 'ce',
    seed = 0,
    batch = 64,
    restarts = 1,
    keep = definition.keep ?? 'last',
    decay = 1,
    eot = 1,
    targeted = false,
    fuse = true,
    precision = 'f32',
    stopAtSuccess = false,
    shrinkRadius = false,
  } = options;
  const eps = options.eps ?? (definition.minimal === true ? Infinity : NaN);
  const steps = options.steps ?? definition.steps ?? definition.defaultSteps ?? 10;
  checkChoices(definition, { norm, loss, keep, targeted, precision, device: options.device ?? 'gpu' });
  const bounded = options.eps !== undefined || definition.minimal === true;
  check(bounded, 'bad-range', `${definition.name} needs a radius, eps`, 'eps');
  if (eps !== Infinity || definition.minimal !== true) expectEps(eps, norm);
  checkCounts(definition, { steps, restarts, batch, seed, decay, eot });
  const alpha = options.alpha ?? definition.defaultAlpha(eps, steps, norm);
  expectAlpha(alpha);
  const randomStart = options.randomStart ?? definition.randomStart;
  check(
    restarts === 1 || randomStart,
    'bad-argument',
    `${restarts} restarts without a random start would all be the same`,
    'restarts',
  );
  checkOwn(definition, { norm, keep }, options);
  const model = options.model.definition;
  checkClasses(definition, model, loss, targeted);
  const rankedTargets = options.rankedTargets ?? Math.min(definition.rankedTargets ?? 1, model.classes - 1);
  expectWhole(rankedTargets, 1, model.classes - 1, 'rankedTargets');
  const rules = selectRules(options, model);
  const reference = options.device === 'reference';
  return {
    ...{ definition, model, reference, norm, loss, targeted, rules, precision, fuse, keep },
    ...{ eps, alpha, steps, restarts, randomStart, decay, batch, seed },
    eot: queriesPoint(definition) ? 1 : eot,
    ...{ stopAtSuccess, shrinkRadius },
    rankedTargets,
    parameters: settleParameters(definition, options.parameters ?? {}),
  };
}

/** The norms that an attack has, its usual one first. */
export const normsOf = ({ norms, sampling }: AttackDefinition): readonly AttackNorm[] =>
  norms ?? sampling?.norms ?? ['linf', 'l2', 'l1'];

/** What an attack cannot do, whatever the numbers. */
function checkAttack(definition: AttackDefinition, norm: AttackNorm, targeted: boolean): void {
  const { name, rankedTargets, plan, transforms = [] } = definition;
  const norms = normsOf(definition);
  check(
    norms.includes(norm),
    'bad-argument',
    `${name} has ${norms.length === 1 ? 'the norm' : 'the norms'} ${norms.join(', ')} only, not ${norm}`,
    'norm',
  );
  check(transforms.length <= 4, 'bad-range', `at most 4 transforms combine, got ${transforms.length}`, 'transforms');
  const untargeted = rankedTargets !== undefined || plan?.targeted === false;
  check(!targeted || !untargeted, 'bad-argument', `${name} chooses its targets itself`, 'targeted');
}

/** Options that only some attacks have; the others would ignore them. */
function checkOwn(
  { name, plan, step, rankedTargets }: AttackDefinition,
  { norm, keep }: Pick<AttackSettings, 'norm' | 'keep'>,
  given: AttackOptions,
): void {
  const expect = (fits: boolean, what: string, field: keyof AttackOptions): void =>
    check(fits, 'bad-argument', `${name} ${what}`, field);
  const shrinks = given.shrinkRadius === true;
  expect(!shrinks || step === adaptiveStep, 'has no shrinking radius; APGD has', 'shrinkRadius');
  expect(!shrinks || norm === 'l1', 'has a shrinking radius in L1 only', 'shrinkRadius');
  const stops = given.stopAtSuccess === true;
  const ends = plan === undefined || plan.fooled !== undefined;
  expect(!stops || ends, 'goes on after a success by its nature', 'stopAtSuccess');
  expect(!stops || keep === 'best', "stops at a success with keep: 'best' only", 'stopAtSuccess');
  expect(given.rankedTargets === undefined || rankedTargets !== undefined, 'ranks no targets', 'rankedTargets');
}

/** Own options of an attack, its transforms' among them, with defaults filled in. */
function settleParameters(
  definition: AttackDefinition,
  given: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const known = parametersOf(definition);
  for (const name of Object.keys(given)) {
    const list = Object.keys(known).join(', ') || 'none';
    check(
      Object.hasOwn(known, name),
      'unknown-option',
      `${definition.name} has no option "${name}"; as parameters it has ${list}`,
      name,
    );
  }
  return Object.fromEntries(
    Object.entries(known).map(([name, { byDefault, least, most, whole }]) => {
      const value = given[name] ?? byDefault;
      const number = typeof value === 'number' && value >= least && value <= most;
      const fits = number && (whole !== true || Number.isInteger(value));
      const kind = whole === true ? 'a whole number' : 'a number';
      check(fits, 'bad-range', `${name} must be ${kind} from ${least} to ${most}, got ${quotedValue(value)}`, name);
      return [name, value];
    }),
  );
}
