import type { Dataset } from '../data/dataset.js';
import { LinbpError, check } from '../errors.js';
import { Cells } from '../experiments/cells.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import type { Device } from '../runtime/device.js';
import { namedWeights, pixelRange } from './common.js';
import { openModel } from './modelSource.js';
import { classifierOn } from './inference.js';
import type { Classifier } from './inference.js';
import { assignment, expectOnce, modelsInList } from './options.js';
import type { VerbContext } from './verb.js';

/** A model that the images were not made for. */
export interface Victim {
  readonly definition: ModelDefinition;
  readonly weights: StateDict;
}

/** What saved images do to a victim. */
export interface VictimResult {
  readonly model: string;
  readonly count: number;
  readonly cleanCorrect: number;
  /** Right on the clean image and on the adversarial one. */
  readonly robustCorrect: number;
  readonly cleanAccuracy: number;
  readonly robustAccuracy: number;
  /** Of the images right before: those now wrong, or, for targeted attacks, taken for the target. */
  readonly successRate: number;
}

/**
 * Reads `MODEL=WEIGHTS,MODEL=WEIGHTS`.
 *
 * @throws LinbpError `bad-argument`, `unknown-model`, `bad-shape` for another input or number of classes,
 * `missing-file`, `bad-file`
 */
export async function readVictims(notation: string | undefined, source: ModelDefinition): Promise<Victim[]> {
  const victims: Victim[] = [];
  const parts = notation?.split(modelsInList) ?? [];
  expectOnce(parts, 'victims');
  for (const part of parts) {
    const [name, path] = assignment(part);
    check(
      name !== undefined && path !== undefined,
      'bad-argument',
      `--victims must be MODEL=WEIGHTS,MODEL=WEIGHTS; got "${part}"`,
      'victims',
    );
    const definition = await openModel(name);
    const same = definition.input.join() === source.input.join() && definition.classes === source.classes;
    check(same, 'bad-shape', `--victims: ${name} takes other images or classes than ${source.name}`, 'victims');
    victims.push({ definition, weights: await namedWeights(definition, path) });
  }
  return victims;
}

/** A victim without figures: a logit at the clean or at the adversarial images is not finite. */
export interface DivergedVictim {
  readonly model: string;
  readonly diverged: true;
  /** What was not finite, and where. */
  readonly cause: string;
}

export type TriedVictim = VictimResult | DivergedVictim;

/** Whether there are figures. */
export const hasFigures = (victim: TriedVictim): victim is VictimResult => !('diverged' in victim);

interface VictimInput {
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly targets: Int32Array | undefined;
}

/** Images at a time. */
const batch = 128;

/** Shows the images of runs to victims, on the device or by the reference. One that diverges is recorded. */
export class VictimTrials {
  /** Names of the victims that diverged, and of the run where another run's images were no cause of it. */
  readonly cells: Cells;
  /** By victim, classes of the clean images. */
  private readonly clean = new Map<Victim, readonly number[]>();
  /** By victim, why it has no classes of the clean images. */
  private readonly lost = new Map<Victim, string>();

  constructor(
    private readonly victims: readonly Victim[],
    private readonly device: Device | undefined,
    private readonly input: VictimInput,
    private readonly context: VerbContext,
  ) {
    this.cells = new Cells(context);
  }

  /**
   * What images do to each victim. Throws `aborted` between batches.
   *
   * @param images8 adversarial images as saved
   * @param run its name, where there are several
   */
  async show(images8: Uint8Array, run?: string): Promise<TriedVictim[]> {
    const tried: TriedVictim[] = [];
    for (const victim of this.victims) {
      const { name: model } = victim.definition;
      const result = await this.try(victim, images8, run);
      const cause = this.lost.get(victim) ?? this.cells.diverged.at(-1)?.cause ?? '';
      tried.push(result ?? { model, diverged: true, cause });
    }
    return tried;
  }

  /** The error of runs whose images no victim has figures of; undefined where one has, or where none was to try. */
  failure(runs: readonly { readonly victims: readonly TriedVictim[] }[]): LinbpError | undefined {
    const tried = runs.flatMap(({ victims }) => victims);
    return tried.length === 0 || tried.some(hasFigures) ? undefined : this.cells.nothingLeft('victim');
  }

  /** Figures of one victim; undefined where it diverges. */
  private async try(victim: Victim, images8: Uint8Array, run: string | undefined): Promise<VictimResult | undefined> {
    if (this.lost.has(victim)) return undefined;
    const { definition, weights } = victim;
    const { dataset } = this.input;
    const name = `victim ${definition.name}`;
    const classify = classifierOn(this.device, definition, weights);
    const size = images8.length / dataset.count;
    const seen = (pixels: (from: number, to: number) => Float32Array) => this.classes(classify, name, pixels);
    try {
      const clean =
        this.clean.get(victim) ?? (await this.cells.run(name, () => seen((from, to) => pixelRange(dataset, from, to))));
      if (clean === undefined) {
        this.lost.set(victim, this.cells.diverged.at(-1)!.cause);
        return undefined;
      }
      this.clean.set(victim, clean);
      const attacked = await this.cells.run(run === undefined ? name : `${name}, ${run}`, () =>
        seen((from, to) => Float32Array.from(images8.subarray(from * size, to * size), (byte) => byte / 255)),
      );
      return attacked && figuresOf(definition.name, clean, attacked, this.input);
    } finally {
      this.context.progress.clear();
      classify.destroy();
    }
  }

  /** The class of each image, batch by batch. */
  private async classes(
    classify: Classifier,
    name: string,
    pixels: (from: number, to: number) => Float32Array,
  ): Promise<number[]> {
    const { signal, progress } = this.context;
    const { count } = this.input.dataset;
    const found: number[] = [];
    for (let from = 0; from < count; from += batch) {
      if (signal.aborted) throw new LinbpError('aborted', 'the evaluation of victims was interrupted');
      const to = Math.min(count, from + batch);
      const logits = await classify.logits(pixels(from, to));
      const classes = logits.length / (to - from);
      for (let n = 0; n < to - from; n++) found.push(firstLargest(logits, n * classes, classes));
      progress.update(name, to / count, '', { total: count, unit: 'images' });
    }
    return found;
  }
}

/** Figures from the classes that a victim sees in the clean and in the adversarial images. */
function figuresOf(
  model: string,
  clean: readonly number[],
  attacked: readonly number[],
  { labels, targets }: VictimInput,
): VictimResult {
  let [cleanCorrect, robustCorrect, successes] = [0, 0, 0];
  clean.forEach((guess, n) => {
    if (guess !== labels[n]) return;
    cleanCorrect += 1;
    if (attacked[n] === labels[n]) robustCorrect += 1;
    if (targets === undefined ? attacked[n] !== labels[n] : attacked[n] === targets[n]) successes += 1;
  });
  const count = clean.length;
  return {
    ...{ model, count, cleanCorrect, robustCorrect },
    cleanAccuracy: cleanCorrect / count,
    robustAccuracy: robustCorrect / count,
    successRate: cleanCorrect === 0 ? 0 : successes / cleanCorrect,
  };
}

function firstLargest(values: ArrayLike<number>, from: number, count: number): number {
  let best = 0;
  for (let k = 1; k < count; k++) if (values[from + k]! > values[from + best]!) best = k;
  return best;
}
