import type { Dataset } from '../data/dataset.js';
import { LinbpError, check } from '../errors.js';
import type { ModelDefinition } from '../nn/definition.js';
import type { StateDict } from '../nn/model.js';
import type { Device } from '../runtime/device.js';
import { namedWeights, pixelRange } from './common.js';
import { openModel } from './modelSource.js';
import { classifierOn } from './inference.js';
import { assignment } from './options.js';
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
  // A comma inside a path is not followed by MODEL=.
  for (const part of notation?.split(/,(?=[^,=]+=)/) ?? []) {
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

interface VictimInput {
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly targets: Int32Array | undefined;
  /** Adversarial images as saved. */
  readonly images8: Uint8Array;
}

/** Evaluates victims, on the device or by the reference. Throws `aborted` between batches. */
export async function evaluateVictims(
  victims: readonly Victim[],
  device: Device | undefined,
  { dataset, labels, targets, images8 }: VictimInput,
  { signal, progress }: VerbContext,
): Promise<VictimResult[]> {
  const results: VictimResult[] = [];
  const size = images8.length / dataset.count;
  for (const { definition, weights } of victims) {
    const classify = classifierOn(device, definition, weights);
    const guesses = async (pixels: Float32Array): Promise<number[]> => {
      const logits = await classify.logits(pixels);
      return Array.from({ length: pixels.length / size }, (_, n) =>
        firstLargest(logits, n * definition.classes, definition.classes),
      );
    };
    let [cleanCorrect, robustCorrect, successes] = [0, 0, 0];
    for (let from = 0; from < dataset.count; from += 128) {
      if (signal.aborted) throw new LinbpError('aborted', 'the evaluation of victims was interrupted');
      const to = Math.min(dataset.count, from + 128);
      const clean = await guesses(pixelRange(dataset, from, to));
      const attacked = await guesses(Float32Array.from(images8.subarray(from * size, to * size), (byte) => byte / 255));
      clean.forEach((guess, i) => {
        const label = labels[from + i]!;
        if (guess !== label) return;
        cleanCorrect += 1;
        if (attacked[i] === label) robustCorrect += 1;
        if (targets === undefined ? attacked[i] !== label : attacked[i] === targets[from + i]) successes += 1;
      });
      progress.update(`victim ${definition.name}`, to / dataset.count, '', { total: dataset.count, unit: 'images' });
    }
    progress.clear();
    classify.destroy();
    results.push({
      model: definition.name,
      count: dataset.count,
      cleanCorrect,
      robustCorrect,
      cleanAccuracy: cleanCorrect / dataset.count,
      robustAccuracy: robustCorrect / dataset.count,
      successRate: cleanCorrect === 0 ? 0 : successes / cleanCorrect,
    });
  }
  return results;
}

function firstLargest(values: ArrayLike<number>, from: number, count: number): number {
  let best = 0;
  for (let k = 1; k < count; k++) if (values[from + k]! > values[from + best]!) best = k;
  return best;
}
