import { expectFields, expectObject, expectOneOf } from '../arguments.js';
import type { FieldNames } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { describeModel } from '../nn/definition.js';
import { philox4x32, randomStreams } from '../random/philox.js';
import type { AttackFlag } from './alarms.js';
import { Attack } from './attack.js';
import type { AttackRun } from './attack.js';
import { dependsOnBatch, flagsOf, notRandom, zeroGradient } from './autoattackFlags.js';
import { computedBy, digest, expectSame, expectStateOf, pixelsFromText, pixelsToText } from './autoattackState.js';
import type { AutoAttackStage, AutoAttackStageName, AutoAttackState } from './autoattackState.js';
import type { AttackName } from './builtin.js';
import { together } from './compaction.js';
import { checkInput } from './input.js';
import { expectWhole, selectRules } from './options.js';
import type { AttackOptions } from './options.js';
import type { AttackedSample, AttackResult, Passes } from './result.js';
import { figuresOf, saveImages, sumOfPasses } from './result.js';
import { mixesImages } from './selections.js';
import type { AttackNorm } from './stages.js';

/*
 * AutoAttack: F. Croce, M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
 * parameter-free attacks", ICML 2020. Each stage sees only the images that all stages before it left right.
 */

/** Which stages run: the standard ones, more of them, those for randomized networks, or a list. */
export type AutoAttackVersion = 'standard' | 'plus' | 'rand' | 'custom';

export type { AutoAttackStage, AutoAttackStageName };

/** Something about the network or the result that a reader of the figures has to know. */
export type AutoAttackFlag = AttackFlag;

/** What AutoAttack finds: an attack's result, the stages, and which one broke each image. */
export interface AutoAttackResult extends AttackResult {
  readonly stages: readonly AutoAttackStage[];
  /** By image: `clean` where it is wrong from the start, the stage that broke it, or null where it stays right. */
  readonly brokenBy: readonly ('clean' | AutoAttackStageName | null)[];
  readonly flags: readonly AutoAttackFlag[];
}

/** What to attack; the rest is AutoAttack's own. */
export interface AutoAttackOptions
  extends
    Pick<AttackOptions, 'model' | 'device' | 'rules' | 'batch' | 'seed' | 'precision' | 'fuse'>,
    Pick<AttackRun, 'images' | 'labels' | 'sampleIds' | 'signal'> {
  readonly norm?: AttackNorm;
  readonly eps: number;
  readonly version?: AutoAttackVersion;
  /** The stages of version `custom`. */
  readonly stages?: readonly AutoAttackStageName[];
  /** Loss of `apgd-ce`: `ce` (default), or `ce-rounded`, as frameworks compute it in float32. Refused without it. */
  readonly loss?: 'ce' | 'ce-rounded';
  /**
   * Gradient steps of each run of APGD and FAB, default 100, and queries of Square, default 5000. Each is refused where
   * no such stage runs.
   */
  readonly steps?: number;
  readonly queries?: number;
  /**
   * Images that a stage broke leave the battery, and its batch while it runs; default true. Otherwise every stage runs
   * on all images, with the same result to the bit. Rules with `scope=batch`, under which an image depends on the
   * others, always run so, and refuse `true`.
   */
  readonly compact?: boolean;
  /** Goes on where this state was made; see {@link AutoAttackState}. */
  readonly resume?: AutoAttackState;
  /** Called after each batch of each stage with what to resume from; a promise that it returns is waited for. */
  readonly onState?: (state: AutoAttackState) => unknown;
  /** Called after each stage with what it left right. */
  readonly onStage?: (stage: AutoAttackStage) => void;
  /** Called now and then with the share, 0 to 1, of a stage that is done. */
  readonly onProgress?: (stage: AutoAttackStageName, share: number) => void;
}

const batteryFields: FieldNames<AutoAttackOptions> = {
  ...{ model: true, device: true, rules: true, batch: true, seed: true, precision: true, loss: true, fuse: 'flag' },
  ...{ images: true, labels: true, sampleIds: true, norm: true, eps: true, version: true, stages: true, steps: true },
  ...{ queries: true, resume: true, compact: 'flag', signal: 'signal', onState: 'function', onStage: 'function' },
  onProgress: 'function',
};

export const versions: Readonly<Record<Exclude<AutoAttackVersion, 'custom'>, readonly AutoAttackStageName[]>> = {
  standard: ['apgd-ce', 'apgd-t', 'fab-t', 'square'],
  plus: ['apgd-ce', 'apgd-dlr', 'fab', 'square', 'apgd-t', 'fab-t'],
  rand: ['apgd-ce', 'apgd-dlr'],
};

/**
 * The stages of a version for a norm and a number of classes. DLR needs three classes and towards targets four; with
 * fewer the margin takes its place. Square has no L1 form and is left out there. Throws `bad-argument` where no stage
 * is left, and for stages without version `custom`; `unknown-option` for an option of none of the stages.
 */
export function autoAttackStages(
  options: Pick<AutoAttackOptions, 'version' | 'stages' | 'norm' | 'loss' | 'steps' | 'queries'>,
): readonly AutoAttackStageName[] {
  const { version = 'standard', stages, norm } = options;
  expectOneOf(version, [...Object.keys(versions), 'custom'], 'version');
  check(
    (version === 'custom') === (stages !== undefined),
    'bad-argument',
    'version custom, and no other, takes a list of stages',
    'stages',
  );
  const all = version === 'custom' ? stages! : versions[version];
  check(Array.isArray(all) && all.length > 0, 'bad-argument', 'there must be a stage', 'stages');
  for (const name of all) expectOneOf(name, Object.keys(stageNumbers), 'stages');
  // It would draw the same numbers again.
  const twice = all.find((name, at) => all.indexOf(name) !== at);
  check(twice === undefined, 'bad-argument', `stages name ${twice ?? ''} twice`, 'stages');
  const running = norm === 'l1' ? all.filter((name) => name !== 'square') : all;
  check(running.length > 0, 'bad-argument', 'square has no L1 form, and no other stage is asked for', 'stages');
  for (const [option, uses] of usedBy) {
    const used = options[option] === undefined || running.some(uses);
    check(used, 'unknown-option', `none of the stages ${running.join(', ')} looks at ${option}`, option);
    if (option !== 'loss' && options[option] !== undefined) expectWhole(options[option], 1, 100_000, option);
  }
  return running;
}

/** Options that some stages look at, and which. */
const usedBy: readonly (readonly ['loss' | 'steps' | 'queries', (name: AutoAttackStageName) => boolean])[] = [
  ['loss', (name) => name === 'apgd-ce'],
  ['steps', (name) => name !== 'square'],
  ['queries', (name) => name === 'square'],
];

/** A stage's place in the counter of its seed. Part of the reproducibility contract: add, never renumber. */
export const stageNumbers: Readonly<Record<AutoAttackStageName, number>> = {
  ...{ 'apgd-ce': 0, 'apgd-dlr': 1, 'apgd-t': 2, fab: 3, 'fab-t': 4, square: 5 },
};

/**
 * The seed of a stage's random numbers, whatever stages come before it. With the same numbers in all, an image that
 * survives a stage by the luck of its random start would meet the very same start in the next one.
 */
export const stageSeed = (seed: number, name: AutoAttackStageName): number =>
  philox4x32([stageNumbers[name], 0, 0, 0], [seed, randomStreams.stages])[0];

/** Gradients that each gradient of version `rand` is the mean of, as in the official code. */
const draws = 20;

/** Steps of its stages by gradients, and queries of Square, as in the official code. */
export const [batterySteps, batteryQueries] = [100, 5000] as const;

/** A stage's options of its attack. As in the official code, `plus` and `rand` have nothing of their own in L1. */
export function stageOptions(
  name: AutoAttackStageName,
  options: Pick<AutoAttackOptions, 'norm' | 'version' | 'loss' | 'steps' | 'queries'>,
  classes: number,
): Partial<AttackOptions> {
  const { norm = 'linf', version, loss = 'ce', steps = batterySteps, queries = batteryQueries } = options;
  const sparse = norm === 'l1' && version !== 'plus' && version !== 'rand';
  const restarts = sparse || version === 'plus' ? 5 : 1;
  const targets = Math.min(9, classes - 1);
  const common = { steps, stopAtSuccess: true, shrinkRadius: sparse, eot: version === 'rand' ? draws : 1 };
  switch (name) {
    case 'apgd-ce':
      return { ...common, restarts, loss };
    case 'apgd-dlr':
      return { ...common, restarts, loss: classes < 3 ? 'margin' : 'dlr' };
    case 'apgd-t':
      return { ...common, rankedTargets: Math.min(sparse ? 5 : 9, targets), loss: classes < 4 ? 'margin' : 'dlr' };
    case 'fab':
      return { steps, restarts };
    case 'fab-t':
      return { steps, parameters: { targets } };
    case 'square':
      return { steps: queries };
  }
}

/** Of the stage in progress. */
type Progress = Pick<AutoAttackState, 'done' | 'gradients' | 'forwards' | 'seconds'>;

const noProgress: Progress = { done: 0, gradients: 0, forwards: 0, seconds: 0 };

/** Images, labels and what came of them so far. */
class Battery {
  readonly images: Float32Array;
  readonly labels: Uint32Array;
  readonly ids: Uint32Array;
  readonly size: number;
  readonly count: number;
  readonly samples: (AttackedSample | undefined)[];
  readonly passes: Passes[];
  readonly brokenBy: ('clean' | AutoAttackStageName | null)[];
  readonly adversarial: Float32Array;
  readonly totals = { gradients: 0, forwards: 0, overflows: 0, dispatches: 0, submits: 0, readbacks: 0 };

  constructor({ images, labels, sampleIds, model }: AutoAttackOptions) {
    const given = { images, ...(labels !== undefined && { labels }), ...(sampleIds !== undefined && { sampleIds }) };
    const arrays = checkInput(given, model.definition, { targeted: false, randomStart: true });
    this.images = arrays.images;
    this.labels = arrays.labels;
    this.ids = arrays.sampleIds;
    this.size = elementCount(model.definition.input);
    this.count = arrays.count;
    this.samples = Array.from({ length: this.count });
    this.passes = Array.from({ length: this.count }, () => ({ gradients: 0, forwards: 0 }));
    this.brokenBy = Array.from({ length: this.count }, () => null);
    this.adversarial = this.images.slice();
  }

  /**
   * The images that a stage runs on: those that were right when it began, or all. A stage in progress has broken some
   * of them, the first one found those that are wrong when clean.
   */
  rest(name: AutoAttackStageName, compact: boolean, first: boolean): number[] {
    const takesPart = (by: 'clean' | AutoAttackStageName | null): boolean =>
      !compact || by === null || by === name || (first && by === 'clean');
    return this.brokenBy.flatMap((by, n) => (takesPart(by) ? [n] : []));
  }

  /** Images as an attack takes them. */
  inputs(indices: readonly number[]): { images: Float32Array; labels: number[]; sampleIds: number[] } {
    const images = new Float32Array(indices.length * this.size);
    for (const [k, n] of indices.entries())
      images.set(this.images.subarray(n * this.size, (n + 1) * this.size), k * this.size);
    return {
      images,
      labels: indices.map((n) => this.labels[n]!),
      sampleIds: indices.map((n) => this.ids[n]!),
    };
  }

  take(name: AutoAttackStageName, indices: readonly number[], result: AttackResult): void {
    const { size } = this;
    for (const [k, n] of indices.entries()) {
      this.passes[n] = sumOfPasses([this.passes[n]!, result.passes[k]!]);
      if (this.brokenBy[n] !== null) continue;
      const sample = result.samples[k]!;
      if (!sample.cleanCorrect) this.brokenBy[n] = 'clean';
      else if (!sample.robustCorrect) this.brokenBy[n] = name;
      if (this.brokenBy[n] === name) this.adversarial.set(result.images.subarray(k * size, (k + 1) * size), n * size);
      // An image that stays right is returned as it was.
      const { cleanCorrect: robust, cleanClass: finalClass, cleanLoss: loss } = sample;
      const kept = { robustCorrect: robust, success: false, savedRobustCorrect: robust, savedSuccess: false };
      const still = { ...sample, ...kept, finalClass, loss, linf: 0, l2: 0 };
      const unmoved = sample.unmoved ?? this.samples[n]?.unmoved;
      this.samples[n] = this.brokenBy[n] === name ? sample : { ...still, ...(unmoved && { unmoved }) };
    }
    for (const key of Object.keys(this.totals) as (keyof Battery['totals'])[]) this.totals[key] += result[key];
  }

  /** Everything found so far. */
  state(of: string, stages: readonly AutoAttackStage[], progress: Progress): AutoAttackState {
    const images = this.samples.map((sample, n) => {
      if (sample === undefined) return null;
      const brokenBy = this.brokenBy[n]!;
      const own = this.adversarial.subarray(n * this.size, (n + 1) * this.size);
      const broken = brokenBy !== null && brokenBy !== 'clean';
      return { brokenBy, sample, passes: this.passes[n]!, ...(broken && { pixels: pixelsToText(own) }) };
    });
    return { format: 2, of, stages: [...stages], ...progress, images };
  }

  restore(state: AutoAttackState): void {
    Object.assign(this.totals, sumOfPasses([...state.stages, state]));
    for (const [n, image] of state.images.entries()) {
      if (image === null) continue;
      this.samples[n] = image.sample;
      this.brokenBy[n] = image.brokenBy;
      this.passes[n] = image.passes;
      if (image.pixels !== undefined) this.adversarial.set(pixelsFromText(image.pixels, this.size), n * this.size);
    }
  }

  get robust(): number {
    return this.brokenBy.filter((stage) => stage === null).length;
  }
}

/**
 * Runs the battery. Without restarts, seeds or images that change, the result has the same bits for any batch size:
 * each image's random numbers are keyed by its sample id. Rules with `scope=batch` are the exception.
 *
 * @throws LinbpError as {@link attack}; `bad-argument` for stages without version `custom`; `unknown-option` for an
 * option that no stage looks at
 */
// eslint-disable-next-line max-lines-per-function -- the battery's stages in their order, on shared state
export async function autoAttack(options: AutoAttackOptions): Promise<AutoAttackResult> {
  expectFields(options, batteryFields);
  const { model, device, rules, batch = 64, seed = 0, precision, fuse, norm = 'linf', eps, signal } = options;
  expectObject(model, 'model');
  describeModel(model.definition);
  const { classes } = model.definition;
  const mixes = mixesImages(selectRules(options, model.definition), model.definition);
  check(!mixes || options.compact !== true, 'bad-argument', `${together}, so compact must be left out`, 'compact');
  const names = autoAttackStages(options);
  expectWhole(seed, 0, 2 ** 32 - 1, 'seed');
  const battery = new Battery(options);
  const stages: AutoAttackStage[] = [];
  let interrupted = false;
  const common = {
    ...{ model, norm, eps, batch },
    ...(device !== undefined && { device }),
    ...(rules !== undefined && { rules }),
    ...(precision !== undefined && { precision }),
    ...(fuse !== undefined && { fuse }),
  };
  const { compact = !mixes, resume } = options;
  const key = [norm, eps, names.join(), seed, options.loss, options.steps, options.queries, compact, classes];
  // These set their stages otherwise than the same stages in a list have it.
  if (options.version === 'plus' || options.version === 'rand') key.push(options.version);
  const arrays = [battery.images, battery.labels, battery.ids].map(digest);
  const network = await computedBy(options);
  const of = [...key, ...arrays, network].join(' ');
  let progress = noProgress;
  if (resume !== undefined) {
    expectStateOf(resume, of, battery.count);
    battery.restore(resume);
    stages.push(...resume.stages);
    const { done, gradients, forwards, seconds } = resume;
    progress = { done, gradients, forwards, seconds };
  }
  /** One stage on the images that it has not had yet. */
  const attackRest = async (name: AutoAttackStageName, indices: readonly number[]): Promise<void> => {
    if (progress.done >= indices.length) return;
    let began = performance.now();
    using compiled = await Attack.compile({
      ...common,
      ...stageOptions(name, options, classes),
      seed: stageSeed(seed, name),
      attack: name as AttackName,
      keep: 'best',
      batch: Math.min(batch, indices.length),
    });
    while (progress.done < indices.length) {
      const { done } = progress;
      const part = indices.slice(done, done + batch);
      const result = await compiled.run({
        ...battery.inputs(part),
        ...(signal !== undefined && { signal }),
        ...(compact && { compactEvery: Math.max(10, Math.ceil(compiled.settings.steps / 50)) }),
        onProgress: (share) => options.onProgress?.(name, (done + share * part.length) / indices.length),
      });
      battery.take(name, part, result);
      const seconds = progress.seconds + (performance.now() - began) / 1000;
      began = performance.now();
      progress = { done: done + part.length, ...sumOfPasses([progress, result]), seconds };
      if (progress.done < indices.length) await options.onState?.(battery.state(of, stages, progress));
    }
  };
  for (const name of names.slice(stages.length)) {
    const indices = battery.rest(name, compact, stages.length === 0);
    try {
      await attackRest(name, indices);
    } catch (error) {
      if (!(error instanceof LinbpError) || error.code !== 'aborted' || stages.length === 0) throw error;
      interrupted = true;
      break;
    }
    const robustCorrect = battery.robust;
    const stage = {
      name,
      attacked: indices.length,
      robustCorrect,
      robustAccuracy: robustCorrect / battery.count,
      ...{ gradients: progress.gradients, forwards: progress.forwards, seconds: progress.seconds },
    };
    progress = noProgress;
    stages.push(stage);
    options.onStage?.(stage);
    await options.onState?.(battery.state(of, stages, progress));
  }
  await expectSame(options, network);
  return {
    ...summary(battery, eps, norm, [...stages, progress]),
    interrupted,
    stages,
    brokenBy: battery.brokenBy,
    flags: [
      ...flagsOf(stages, norm, classes, battery.count),
      ...(eps > 0 ? zeroGradient(battery.samples.map((sample) => sample!)) : []),
      ...(options.version === 'rand' ? [notRandom] : []),
      ...(mixes ? [dependsOnBatch] : []),
    ],
  };
}

function summary(battery: Battery, eps: number, norm: AttackNorm, parts: readonly { seconds: number }[]): AttackResult {
  const { images, adversarial, totals, passes } = battery;
  const seconds = parts.reduce((sum, part) => sum + part.seconds, 0);
  const samples = battery.samples.map((sample) => sample!);
  return {
    ...{ ...figuresOf(samples), interrupted: false, seconds },
    images: adversarial,
    images8: saveImages(adversarial, images, eps, norm),
    ...{ passes, curve: [], losses: new Float32Array(0) },
    ...totals,
    imageGradientsPerSecond: totals.gradients / seconds,
  };
}
