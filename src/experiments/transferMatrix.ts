import { Attack } from '../attacks/attack.js';
import type { AttackRun } from '../attacks/attack.js';
import { hasOption } from '../attacks/available.js';
import type { AttackOptions } from '../attacks/options.js';
import { settle } from '../attacks/options.js';
import { partnersIn } from '../attacks/pool.js';
import { layOut } from '../attacks/schedule.js';
import type { Dataset } from '../data/dataset.js';
import { batchLabels, batchPixels } from '../data/dataset.js';
import { LinbpError } from '../errors.js';
import { rightness } from './attackRuns.js';
import type { Cells } from './cells.js';
import { startsOf } from './crafting.js';
import type { Victim } from './crafting.js';
import { crossedBootstrap, mean, wilson } from './statistics.js';
import type { Interval } from './statistics.js';

/** An attack of a transfer matrix; the number of its steps follows from the budget. */
export interface MatrixAttack {
  readonly name: string;
  readonly options: Pick<AttackOptions, 'attack' | 'loss' | 'decay' | 'eot' | 'parameters' | 'keep' | 'alpha'>;
}

/** What a matrix is made of. All networks take the images as they are, see `resized`. */
export interface MatrixSettings {
  readonly sources: readonly Victim[];
  readonly victims: readonly Victim[];
  readonly attacks: readonly MatrixAttack[];
  readonly norm: 'linf' | 'l2' | 'l1';
  readonly eps: number;
  /** Gradients an image that each attack may spend; it takes as many steps as fit, at least one. */
  readonly gradients: number;
  readonly seeds: readonly number[];
  readonly batch: number;
  readonly signal: AbortSignal;
  readonly onProgress: (what: string, share: number) => void;
  /** Keeps what is finished, batch by batch, and knows it again. */
  readonly store?: MatrixStore;
}

/** What one batch of images gave: gradients an image, and by victim 1 for each image that it gets wrong. */
export interface MatrixPart {
  readonly gradients: number;
  readonly wrong: Readonly<Record<string, readonly number[]>>;
}

/** Finished batches by a name that says which they are. */
export interface MatrixStore {
  find(name: string): Promise<MatrixPart | undefined>;
  keep(name: string, part: MatrixPart): Promise<void>;
}

/** The images of one attack under one rule on one source, shown to all victims. */
export interface MatrixRow {
  readonly source: string;
  readonly attack: string;
  readonly rule: string;
  readonly steps: number;
  readonly alpha: number;
  /** Gradients an image that were spent. */
  readonly gradients: number;
  /** False where no seed changes anything; then one was run. */
  readonly random: boolean;
  /** By victim, by seed: 1 for each image that the victim gets wrong as saved in 8 bits. */
  readonly wrong: ReadonlyMap<string, readonly (readonly number[])[]>;
}

/** Right (1) or wrong (0) on the clean images, by victim. */
export type CleanRight = ReadonlyMap<string, readonly number[]>;

/** Evaluates victims on the clean images. */
export async function cleanRight(
  victims: readonly Victim[],
  images: Dataset,
  batch: number,
): Promise<Map<string, number[]>> {
  const pixels = batchPixels(
    images,
    Array.from({ length: images.count }, (_, n) => n),
  );
  const found = new Map<string, number[]>();
  for (const { name, model } of victims)
    found.set(name, await rightness(model, pixels, Array.from(images.labels), Math.min(batch, images.count)));
  return found;
}

/** Gradients of one step of an attack. */
function stepCost(options: AttackOptions): number {
  return layOut(settle({ ...options, steps: 1 })).gradients;
}

/**
 * Options of an attack that spends at most the budget. Steps of 1/255 where eps/steps would be smaller (L-infinity).
 */
export function budgeted(
  settings: Pick<MatrixSettings, 'norm' | 'eps' | 'gradients' | 'batch'>,
  { options }: MatrixAttack,
  model: Victim['model'],
  rules: string,
): AttackOptions & { readonly steps: number } {
  const { norm, eps, gradients, batch } = settings;
  const common = { model, norm, eps, batch, rules, ...options };
  const { definition } = settle(common);
  const fixed = definition.steps;
  const steps = fixed ?? Math.max(1, Math.floor(gradients / stepCost(common)));
  if (!hasOption(definition, 'alpha')) return { ...common, steps };
  const own = settle({ ...common, steps }).alpha;
  const alpha = options.alpha ?? (norm === 'linf' && fixed === undefined ? Math.max(own, Math.min(eps, 1 / 255)) : own);
  return { ...common, steps, alpha };
}

/** Crafts a batch and shows it, as saved in 8 bits, to the victims. */
async function craftPart(
  compiled: Attack,
  run: AttackRun & { readonly labels: Int32Array; readonly signal: AbortSignal },
  victims: readonly Victim[],
): Promise<MatrixPart> {
  const result = await compiled.run(run);
  const saved = Float32Array.from(result.images8, (level) => level / 255);
  const wrong: Record<string, number[]> = {};
  for (const { name, model } of victims) {
    if (run.signal.aborted) throw new LinbpError('aborted', 'the transfer matrix was interrupted');
    const right = await rightness(model, saved, run.labels, result.count);
    wrong[name] = right.map((each) => 1 - each);
  }
  return { gradients: result.gradients / result.count, wrong };
}

/** One row: crafts with each seed and shows the images to the victims. */
export async function craftRow(
  settings: MatrixSettings,
  source: Victim,
  attack: MatrixAttack,
  rule: string,
  images: Dataset,
): Promise<MatrixRow> {
  const { victims, seeds, signal, onProgress, store } = settings;
  const options = budgeted(settings, attack, source.model, rule);
  const batch = Math.min(settings.batch, images.count);
  using compiled = await Attack.compile({ ...options, batch });
  const { graph } = (await compiled.executor()).attack;
  const random = graph.nodes.some(({ attrs }) => 'seed' in attrs);
  const wrong = new Map<string, number[][]>(victims.map(({ name }) => [name, []]));
  const partners = partnersIn(images);
  const what = `${source.name} ${attack.name} ${rule}`;
  let gradients = 0;
  for (const seed of random ? seeds : seeds.slice(0, 1)) {
    for (const { name } of victims) wrong.get(name)!.push([]);
    for (let first = 0; first < images.count; first += batch) {
      const ids = Uint32Array.from({ length: Math.min(batch, images.count - first) }, (_, n) => first + n);
      const piece = `${what} seed ${seed} images ${first} to ${first + ids.length}`;
      const inputs = { images: batchPixels(images, ids), labels: batchLabels(images, ids), sampleIds: ids, partners };
      const share = (own: number): void => onProgress(what, (first + own * ids.length) / images.count);
      const run = { ...inputs, seed, signal, onProgress: share };
      let part = await store?.find(piece);
      if (part === undefined) {
        part = await craftPart(compiled, run, victims);
        await store?.keep(piece, part);
      }
      gradients = part.gradients;
      for (const { name } of victims)
        wrong
          .get(name)!
          .at(-1)!
          .push(...part.wrong[name]!);
    }
  }
  const { steps, alpha } = compiled.settings;
  return { source: source.name, attack: attack.name, rule, steps, alpha, gradients, random, wrong };
}

/** By seed, for each image that the victim gets right clean, whether it gets it wrong attacked. */
const fooledRight = (row: MatrixRow, clean: CleanRight, victim: string): number[][] =>
  row.wrong.get(victim)!.map((each) => each.filter((_, n) => clean.get(victim)![n] === 1));

/**
 * Share of the images that a victim gets right clean and wrong attacked, with its 95 % interval over seeds and images;
 * undefined where it gets none right.
 */
export function fooledShare(row: MatrixRow, clean: CleanRight, victim: string, seed = 0): Interval | undefined {
  const groups = fooledRight(row, clean, victim);
  if (groups[0]!.length === 0) return undefined;
  // Where seeds change nothing the images alone vary; Wilson's interval has width also where all or none are fooled.
  const [first, ...others] = groups as [number[], ...number[][]];
  if (others.every((group) => group.every((each, n) => each === first[n])))
    return wilson(
      first.reduce((sum, each) => sum + each, 0),
      first.length,
    );
  const zeros = groups.map((group) => group.map(() => 0));
  return crossedBootstrap(zeros, groups, seed);
}

/** By seed, for each image that some victim besides the source gets right clean, the share of these that it fools. */
function overOthers(row: MatrixRow, clean: CleanRight): number[][] {
  const others = [...row.wrong.keys()].filter((name) => name !== row.source);
  const count = row.wrong.get(others[0] ?? row.source)?.[0]?.length ?? 0;
  const seeds = row.wrong.values().next().value!.length;
  return Array.from({ length: seeds }, (_, s) =>
    Array.from({ length: count }, (_value, n) => n).flatMap((n) => {
      const counted = others.filter((name) => clean.get(name)![n] === 1);
      return counted.length === 0 ? [] : [mean(counted.map((name) => row.wrong.get(name)![s]![n]!))];
    }),
  );
}

/** The mean over the other victims; undefined where there are none. */
export function transferred(row: MatrixRow, clean: CleanRight): number | undefined {
  const groups = overOthers(row, clean);
  return groups.length === 0 || groups[0]!.length === 0 ? undefined : mean(groups.map((group) => mean(group)));
}

/**
 * What one row transfers more than another, of the same source: mean difference over the other victims, with interval.
 */
export function transferGap(base: MatrixRow, row: MatrixRow, clean: CleanRight, seed = 0): Interval | undefined {
  const [a, b] = [overOthers(base, clean), overOthers(row, clean)];
  const groups = Math.max(a.length, b.length);
  if (a[0]!.length === 0) return undefined;
  const spread = (side: number[][]): number[][] => Array.from({ length: groups }, (_, s) => side[s] ?? side[0]!);
  return crossedBootstrap(spread(a), spread(b), seed);
}

/**
 * The mean of {@link transferGap} over pairs of rows, such as one an attack: images and seeds are drawn again, attacks
 * are not, since these are the ones asked about.
 */
export function pooledGap(
  base: readonly MatrixRow[],
  rows: readonly MatrixRow[],
  clean: CleanRight,
  seed = 0,
): Interval {
  const sides = [base, rows].map((side) => side.map((row) => overOthers(row, clean)));
  const seeds = Math.max(...sides.flat().map((groups) => groups.length));
  const [a, b] = sides.map((side) =>
    Array.from({ length: seeds }, (_, s) => {
      const lists = side.map((groups) => groups[s] ?? groups[0]!);
      return lists[0]!.map((_value, n) => mean(lists.map((list) => list[n]!)));
    }),
  ) as [number[][], number[][]];
  return crossedBootstrap(a, b, seed);
}

/** What a sweep of LinBP's start found on the held-out images. */
export interface StartSweep {
  readonly source: string;
  readonly attack: string;
  /** With `from=auto` as it was written. */
  readonly rule: string;
  readonly start: string;
  readonly tried: readonly { readonly start: string; readonly success: number; readonly steps: number }[];
}

export const automatic = /\bfrom=auto\b/;

/**
 * Replaces `from=auto` by the start that transfers best from the held-out images to the victims besides the source; of
 * equals the last, which changes the gradient least.
 *
 * @throws LinbpError `bad-argument` where there is no victim besides the source
 */
export async function sweepStart(
  settings: MatrixSettings,
  source: Victim,
  attack: MatrixAttack,
  rule: string,
  heldOut: Dataset,
  cells: Cells,
): Promise<StartSweep> {
  const clean = await cleanRight(settings.victims, heldOut, settings.batch);
  const tried: StartSweep['tried'][number][] = [];
  const { store: whole } = settings;
  const store = whole && {
    find: (name: string) => whole.find(`held out: ${name}`),
    keep: (name: string, part: MatrixPart) => whole.keep(`held out: ${name}`, part),
  };
  for (const start of startsOf(source.model.definition)) {
    const once = { ...settings, seeds: settings.seeds.slice(0, 1), ...(store && { store }) };
    const written = rule.replace(automatic, `from=${start}`);
    const what = `${source.name}, ${attack.name}, ${written}, held-out images`;
    const row = await cells.run(what, () => craftRow(once, source, attack, written, heldOut));
    if (row === undefined) continue;
    const success = transferred(row, clean);
    if (success === undefined)
      throw new LinbpError('bad-argument', `from=auto needs a victim besides ${source.name} that is right somewhere`, {
        field: 'rule',
      });
    tried.push({ start, success, steps: row.steps });
  }
  cells.expectSome(tried.length, `start of ${rule} on ${source.name}`);
  const best = tried.reduce((most, each) => (each.success >= most.success ? each : most));
  return { source: source.name, attack: attack.name, rule, start: best.start, tried };
}
