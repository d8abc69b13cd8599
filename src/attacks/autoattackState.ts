import { check } from '../errors.js';
import { Model } from '../nn/model.js';
import { formatRules } from '../rules/parse.js';
import { selectRules } from './options.js';
import type { AttackOptions } from './options.js';
import type { AttackedSample, Passes } from './result.js';
import { selectedRules } from './selections.js';

/** One attack of the battery. */
export type AutoAttackStageName = 'apgd-ce' | 'apgd-dlr' | 'apgd-t' | 'fab' | 'fab-t' | 'square';

/** How robust the network is after a stage. */
export interface AutoAttackStage {
  readonly name: AutoAttackStageName;
  /** Images that it ran on: of the first stage all, of others those that were right, or all without `compact`. */
  readonly attacked: number;
  readonly robustCorrect: number;
  readonly robustAccuracy: number;
  readonly gradients: number;
  readonly forwards: number;
  readonly seconds: number;
}

/** One image of a battery so far. */
export interface AutoAttackImage {
  /** `clean` where it is wrong from the start, the stage that broke it, or null where it is right so far. */
  readonly brokenBy: 'clean' | AutoAttackStageName | null;
  readonly sample: AttackedSample;
  /** Of all its stages so far. */
  readonly passes: Passes;
  /** Pixels of the adversarial image as base64 of float32, little-endian, where a stage broke it. */
  readonly pixels?: string;
}

/**
 * What a battery has found after a batch: plain JSON. `autoAttack({ ..., resume: state })` with the same options goes
 * on behind that batch to the same bits.
 */
export interface AutoAttackState {
  readonly format: 2;
  /**
   * What the state belongs to, in short: images, labels, network, weights, rule, precision, device, version, and every
   * option that decides a number.
   */
  readonly of: string;
  /** Stages that are done. */
  readonly stages: readonly AutoAttackStage[];
  /** Of the stage in progress: images done, of those that were right when it began, and its costs. */
  readonly done: number;
  readonly gradients: number;
  readonly forwards: number;
  readonly seconds: number;
  /** By image; null where nothing is known yet. */
  readonly images: readonly (AutoAttackImage | null)[];
}

/** Pixels as text. */
export const pixelsToText = (pixels: Float32Array): string =>
  Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength).toString('base64');

/** Pixels of one image. Throws `bad-shape` where their number differs. */
export function pixelsFromText(text: string, size: number): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  check(bytes.length === 4 * size, 'bad-shape', `an image of the state has ${bytes.length / 4} pixels, not ${size}`);
  return new Float32Array(bytes.buffer);
}

/** A short text that differs where numbers do (FNV-1a over their bytes). */
export function digest(values: Float32Array | Uint32Array | Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16);
}

/** What decides an attack's numbers beside its settings: the network, its weights, and how it is computed. */
export async function computedBy({
  model,
  rules = 'bp',
  precision = 'f32',
  device = 'gpu',
  batch = 64,
}: Pick<AttackOptions, 'model' | 'rules' | 'precision' | 'device' | 'batch'>): Promise<string> {
  const weights = model instanceof Model ? await model.stateDict() : model.weights;
  const values = [...weights].map(([name, { data }]) => `${name} ${digest(Float32Array.from(data))}`);
  const selected = selectedRules(selectRules({ rules }, model.definition), model.definition);
  const places = selected.map((each) => `${each.place} ${each.rule}`);
  const rule =
    typeof rules === 'string'
      ? rules
      : typeof rules === 'function'
        ? `selection ${digest(new TextEncoder().encode(places.join()))}`
        : formatRules(rules);
  const together = selected.some(({ mixesBatch }) => mixesBatch) ? [`batch ${batch}`] : [];
  const network = [model.definition.name, digest(new TextEncoder().encode(values.join()))];
  return [...network, rule, precision, device, ...together].join(' ');
}

/** Throws `bad-argument` where the weights were changed while the battery ran: its stages attacked several networks. */
export async function expectSame(options: Parameters<typeof computedBy>[0], before: string): Promise<void> {
  const same = (await computedBy(options)) === before;
  check(same, 'bad-argument', 'the weights were changed while the battery ran', 'model');
}

/** Throws `bad-argument` unless a state belongs to this battery. */
export function expectStateOf(state: AutoAttackState, of: string, count: number): void {
  const fits = state.format === 2 && state.of === of && state.images.length === count;
  check(
    fits,
    'bad-argument',
    'the state belongs to another battery: its images, network, weights, rule, norm, eps, stages, seed, loss, steps, ' +
      'queries, precision, device or version differ (with scope=batch, its batch)',
    'resume',
  );
}
