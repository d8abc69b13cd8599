import { expectMembers } from '../arguments.js';
import { check } from '../errors.js';
import { normals, randomStreams } from '../random/philox.js';
import type { Device } from '../runtime/device.js';
import { expectedOneLayerGradient, expectedTwoLayerGradient, theoryRules } from './closedForm.js';
import type { TheoryRule, TwoLayerSizes, Vector } from './closedForm.js';
import { Batch, u32 } from './kernels.js';
import { Turn } from './turn.js';

/** A sampled expectation to compute. */
export interface MonteCarloSettings {
  /** `one`: gradients of rows of the training problem; `two`: of networks (W, V) of the attack problem. */
  readonly layers: 'one' | 'two';
  /** Current point [d1]. */
  readonly point: Vector;
  /** Teacher's point [d1]. */
  readonly target: Vector;
  /** Hidden and output width; for two layers only. */
  readonly hidden?: { readonly d2: number; readonly d3: number };
  /** Rows or networks, 2..2^32-1. */
  readonly draws: number;
  /** Whole number 0..2^32-1. */
  readonly seed: number;
}

/** One rule's sampled gradient against its closed form. */
export interface MonteCarloEstimate {
  readonly rule: TheoryRule;
  /** Sample mean, per entry. */
  readonly mean: Float64Array;
  /** Standard error of the mean, per entry. */
  readonly standardError: Float64Array;
  readonly expected: Float64Array;
  /** Half-width of the 95 % confidence interval, per entry: 1.96 standard errors. */
  readonly halfWidth: Float64Array;
  /** Entries whose interval contains the closed form. */
  readonly covered: number;
  /** Largest |mean - expected| as a share of the largest |expected| entry. */
  readonly relativeError: number;
  /** Largest |mean - expected| in standard errors. */
  readonly largestDeviation: number;
}

/** Result of {@link monteCarlo}. */
export interface MonteCarloResult {
  readonly settings: MonteCarloSettings;
  /** BP's and LinBP's estimate, from the same draws. */
  readonly estimates: readonly MonteCarloEstimate[];
  /** Seconds from the first submit to the result, compilation excluded. */
  readonly seconds: number;
}

const LANES = 64;
const DRAWS_PER_INVOCATION = 64;
/** Workgroups of one dispatch, so that a submit stays short. */
const GROUPS_PER_DISPATCH = 256;
/** Numbers that an invocation keeps in private memory. */
const MOST_KEPT = 1024;
const MOST_ENTRIES = 128;

function sizesOf(settings: MonteCarloSettings): TwoLayerSizes {
  expectMembers(settings, 'settings', { point: 'list', target: 'list' });
  const { layers, point, target, hidden, draws, seed } = settings;
  check(
    layers === 'one' || layers === 'two',
    'bad-argument',
    `layers must be "one" or "two", got ${String(layers)}`,
    'layers',
  );
  const d1 = point.length;
  check(
    d1 > 0 && target.length === d1,
    'bad-shape',
    `point and target must have the same positive length, got ${d1} and ${target.length}`,
    'point',
  );
  check(d1 <= MOST_ENTRIES, 'bad-range', `at most ${MOST_ENTRIES} entries, got ${d1}`, 'point');
  const { d2, d3 } = layers === 'one' ? { d2: 1, d3: 1 } : (hidden ?? { d2: 0, d3: 0 });
  check(
    [d2, d3].every((d) => Number.isSafeInteger(d) && d >= 1 && d <= 256),
    'bad-range',
    `hidden widths must lie in 1..256, got ${d2} and ${d3}`,
    'hidden',
  );
  check(d1 * d2 <= MOST_KEPT, 'bad-range', `d1 d2 must be at most ${MOST_KEPT}, got ${d1 * d2}`, 'hidden');
  check(
    Number.isSafeInteger(draws) && draws >= 2 && draws < 2 ** 32,
    'bad-range',
    `draws must lie in 2..2^32-1, got ${draws}`,
    'draws',
  );
  check(
    Number.isSafeInteger(seed) && seed >= 0 && seed < 2 ** 32,
    'bad-range',
    `seed must be a whole number 0..2^32-1, got ${seed}`,
    'seed',
  );
  return { d1, d2, d3 };
}

/**
 * Samples the expected gradients of both rules on the GPU: Philox counters, Box and Muller's normals, sums and sums
 * of squares in a fixed order (per invocation, by a tree over the workgroup, by a tree over the workgroups), so that
 * the same seed gives the same bits. With `reference` for the device, plain float64 loops take the same Philox numbers
 * on the CPU, for small numbers of draws; estimates agree to the accuracy of float32 sums.
 *
 * @throws LinbpError `bad-argument`, `bad-shape`, `bad-range`, `aborted`, and as the closed forms
 */
export async function monteCarlo(
  device: Device | 'reference',
  settings: MonteCarloSettings,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (share: number) => void } = {},
): Promise<MonteCarloResult> {
  const sizes = sizesOf(settings);
  if (device === 'reference') {
    const started = performance.now();
    const estimates = summarize(settings, sizes, await referenceSums(settings, sizes, options));
    return { settings, estimates, seconds: (performance.now() - started) / 1000 };
  }
  const { d1, d2, d3 } = sizes;
  const { point, target, draws, seed } = settings;
  using batch = new Batch(device);
  const constants = { D1: d1, ROW: 4 * Math.ceil((d1 * d2) / 4) };
  const access = ['read', 'readWrite'] as const;
  const sample =
    settings.layers === 'one'
      ? await batch.kernel('monteCarloOneLayer', access, { constants })
      : await batch.kernel('monteCarloTwoLayer', access, { constants: { ...constants, D2: d2, D3: d3 } });
  const sum = await batch.kernel('sumPartials', ['read', 'readWrite']);

  const quantities = 4 * d1;
  const perGroup = LANES * DRAWS_PER_INVOCATION;
  const groups = Math.ceil(draws / perGroup);
  const points = batch.storage('points', Float32Array.from([...Array.from(point), ...Array.from(target)]));
  const partials = batch.storage('partial sums', groups * quantities);
  const totals = batch.storage('sums', quantities);
  const started = performance.now();
  for (let group = 0; group < groups; group += GROUPS_PER_DISPATCH) {
    const first = group * perGroup;
    const count = Math.min(draws - first, GROUPS_PER_DISPATCH * perGroup);
    const parameters = [first, count, perGroup, group, seed, randomStreams.simulation].map(u32);
    batch.add({
      kernel: sample,
      buffers: [points, partials],
      parameters,
      workgroups: Math.min(groups - group, GROUPS_PER_DISPATCH),
    });
  }
  batch.add({
    kernel: sum,
    buffers: [partials, totals],
    parameters: [u32(groups), u32(quantities)],
    workgroups: quantities,
  });
  await batch.run(options);
  const sums = await batch.read(totals);
  return {
    settings,
    estimates: summarize(settings, sizes, sums),
    seconds: (performance.now() - started) / 1000,
  };
}

/** The sums in float64 by plain loops. Throws `aborted`. */
async function referenceSums(
  settings: MonteCarloSettings,
  { d1, d2, d3 }: TwoLayerSizes,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (share: number) => void },
): Promise<Float64Array> {
  const { point, target, draws, seed, layers } = settings;
  const vStart = 4 * Math.ceil((d1 * d2) / 4);
  const sums = new Float64Array(4 * d1);
  const turn = new Turn(draws, options);
  for (let draw = 0; draw < draws; draw++) {
    const values = normals(seed, randomStreams.simulation, draw, 0, layers === 'one' ? d1 : vStart + d3 * d2);
    const w = (i: number, j: number): number => values[i * d1 + j]!;
    const v = (k: number, i: number): number => (layers === 'one' ? 1 : values[vStart + k * d2 + i]!);
    const z = Array.from({ length: d2 }, (_, i) => dot(d1, (j) => w(i, j) * point[j]!));
    const error = z.map(
      (value, i) =>
        Math.max(value, 0) -
        Math.max(
          dot(d1, (j) => w(i, j) * target[j]!),
          0,
        ),
    );
    const output = Array.from({ length: d3 }, (_, k) => dot(d2, (i) => v(k, i) * error[i]!));
    const back = z.map((_, i) => dot(d3, (k) => v(k, i) * output[k]!));
    for (const [r, rule] of theoryRules.entries()) {
      for (let j = 0; j < d1; j++) {
        const gradient = dot(d2, (i) => (rule === 'linbp' || z[i]! > 0 ? w(i, j) * back[i]! : 0));
        sums[r * d1 + j]! += gradient;
        sums[(2 + r) * d1 + j]! += gradient * gradient;
      }
    }
    await turn.next();
  }
  return sums;
}

function dot(length: number, term: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += term(i);
  return sum;
}

/** Means, errors and closed forms from sums [4][d1]: of BP, of LinBP, of their squares. */
function summarize(settings: MonteCarloSettings, sizes: TwoLayerSizes, sums: Vector): MonteCarloEstimate[] {
  const { draws, point, target, layers } = settings;
  const { d1 } = sizes;
  return theoryRules.map((rule, r) => {
    const expected =
      layers === 'one'
        ? expectedOneLayerGradient(rule, point, target)
        : expectedTwoLayerGradient(rule, point, target, sizes);
    const mean = Float64Array.from({ length: d1 }, (_, j) => sums[r * d1 + j]! / draws);
    const standardError = mean.map((value, j) =>
      Math.sqrt(Math.max(0, sums[(2 + r) * d1 + j]! / draws - value * value) / (draws - 1)),
    );
    const deviation = mean.map((value, j) => Math.abs(value - expected[j]!));
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const halfWidth = standardError.map((error) => 1.959963984540054 * error);
    return {
      rule,
      mean,
      standardError,
      expected,
      halfWidth,
      covered: deviation.reduce((count, value, j) => count + (value <= halfWidth[j]! ? 1 : 0), 0),
      relativeError: Math.max(...deviation) / largest,
      largestDeviation: deviation.reduce((most, value, j) => Math.max(most, value / standardError[j]!), 0),
    };
  });
}
