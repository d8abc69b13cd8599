import { LinbpError, check } from '../errors.js';
import { normals, randomStreams } from '../random/philox.js';
import type { Device } from '../runtime/device.js';
import { monteCarlo } from '../theory/monteCarlo.js';
import type { MonteCarloResult, MonteCarloSettings } from '../theory/monteCarlo.js';
import { simulateAttack, simulateTraining } from '../theory/simulate.js';
import { attackDefaults, gradientModes, readAttackArrays, trainingDefaults } from '../theory/simulationSettings.js';
import type { AttackSimulation } from '../theory/simulationSettings.js';
import { evaluateTheorem, mapTheorem, theoremDefaults } from '../theory/theorems.js';
import type { TheoremAxis, TheoremSettings } from '../theory/theorems.js';
import { machineOptions, openDevice, referenceAdapter, shownAdapter } from './common.js';
import { choice, expectOnce, flag, integer, number, readNumber, text } from './options.js';
import type { Need, Needs, OptionValues } from './options.js';
import {
  describeEstimate,
  describeMap,
  describeSimulation,
  describeTheorem,
  monteCarloFields,
  simulationFields,
  theoremFields,
} from './simulateReport.js';
import { defineVerb } from './verb.js';
import type { VerbContext, VerbResult } from './verb.js';

const subjects = ['attack', 'training', 'theorems', 'montecarlo'] as const;
type Subject = (typeof subjects)[number];

const options = {
  what: choice(subjects, { help: 'what to run; also as a plain word after the verb', byDefault: 'attack' }),
  repeats: integer({ help: 'attack, training: independent repeats [400, 10]', min: 2 }),
  steps: integer({ help: 'attack, training, theorems: steps [100, 10000, 100 and 1500]', min: 1 }),
  mode: choice(['all', ...gradientModes], {
    help: 'attack: what a step follows, the gradient, its direction or its sign',
    byDefault: 'all',
  }),
  rate: number({ help: 'attack with one --mode, training: step size [1e-3, 0.05, 0.005; 1e-3]', min: 0, above: true }),
  eps: number({ help: 'attack, theorems: half-width of the clip box [0.25]', min: 0, above: true }),
  noClip: flag('theorems: no clip in theorem 1 (theorem 2 has none)'),
  d1: integer({ help: 'attack, montecarlo: input width [100, 6]', min: 1 }),
  d2: integer({ help: 'attack, montecarlo: hidden width [20, 5]', min: 1 }),
  d3: integer({ help: 'attack, montecarlo: output width [10, 4]', min: 1 }),
  d: integer({ help: 'training, theorems, montecarlo of one layer: dimension [10; 100 and 10; 10]', min: 1 }),
  rows: integer({ help: 'training: rows of X in a step [100]', min: 1 }),
  input: text({
    help: 'attack: arrays W, V, x_star, x_0 of all repeats (safetensors) instead of random ones',
    placeholder: 'FILE',
  }),
  theorem: choice(['both', '1', '2'], { help: 'theorems: which one', byDefault: 'both' }),
  eta: number({ help: "theorems: effective step eta' [0.05 and 0.01]", min: 0, above: true }),
  targetMean: number({ help: "all but montecarlo: mean of the teacher's entries [1]" }),
  targetDeviation: number({
    help: 'all but montecarlo: their standard deviation [2 in the attack, 3 in training]',
    min: 0,
  }),
  draws: integer({
    help: 'theorems: pairs of teacher and start; montecarlo: rows or networks [300; 10000000]',
    min: 2,
    max: 2 ** 32 - 1,
  }),
  map: choice(['eta', 'eps', 'dimension', 'targetMean', 'targetDeviation', 'startDeviation', 'none'], {
    help: 'theorems: axis of the map over time',
    byDefault: 'eta',
  }),
  values: text({ help: 'theorems: values of the map axis', placeholder: 'X,X,..' }),
  layers: choice(['both', 'one', 'two'], { help: 'montecarlo: which problem', byDefault: 'both' }),
  ...machineOptions,
};

type Values = OptionValues<typeof options>;

/** Options that only some subjects have; given to another one they are an error, not silently ignored. */
const belongsTo: Readonly<Partial<Record<keyof Values, readonly Subject[]>>> = {
  repeats: ['attack', 'training'],
  steps: ['attack', 'training', 'theorems'],
  rate: ['attack', 'training'],
  eps: ['attack', 'theorems'],
  noClip: ['theorems'],
  d1: ['attack', 'montecarlo'],
  d2: ['attack', 'montecarlo'],
  d3: ['attack', 'montecarlo'],
  d: ['training', 'theorems', 'montecarlo'],
  rows: ['training'],
  input: ['attack'],
  eta: ['theorems'],
  targetMean: ['attack', 'training', 'theorems'],
  targetDeviation: ['attack', 'training', 'theorems'],
  draws: ['theorems', 'montecarlo'],
  values: ['theorems'],
  mode: ['attack'],
  theorem: ['theorems'],
  map: ['theorems'],
  layers: ['montecarlo'],
  adapter: ['attack', 'training', 'montecarlo'],
};

/** What options need to count for anything. */
function neededBy({ what, device, input, layers }: Values): Needs<Values> {
  const foreign = Object.entries(belongsTo).flatMap(([name, owners]): [string, Need][] =>
    owners.includes(what)
      ? []
      : [[name, [false, `has no meaning for "simulate ${what}"; it belongs to ${owners.join(', ')}`]]],
  );
  const drawn = [input === undefined, 'does not go with --input, whose arrays take the place of all draws'] as const;
  const [one, two] = [layers !== 'two', layers !== 'one'].map(
    (there) => [what !== 'montecarlo' || there, `does not go with --layers ${layers}`] as const,
  ) as [Need, Need];
  return {
    device: [what !== 'theorems' || device === 'reference', 'does not go with theorems, which are computed in float64'],
    ...{ seed: drawn, targetMean: drawn, targetDeviation: drawn, d: one, d1: two, d2: two, d3: two },
    ...(Object.fromEntries(foreign) as Needs<Values>),
  };
}

/** The fields that were given, for spreading over defaults. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** `linbp simulate`: the student-teacher experiments of the LinBP theory. */
export const simulateVerb = defineVerb({
  name: 'simulate',
  summary: "runs the theory's student-teacher simulations, theorem checks and sampled gradients",
  examples: ['linbp simulate attack', 'linbp simulate theorems --seed 1'],
  options,
  subject: 'what',
  needs: neededBy,
  notes: [
    '',
    'linbp simulate attack       the input of a two-layer network moves towards a teacher input, BP ' +
      'against LinBP, three gradient modes',
    'linbp simulate training     the weights of one layer move towards teacher weights, BP against LinBP',
    'linbp simulate theorems     both sides of the two ' +
      'convergence theorems, their margin, and a map of where they hold',
    'linbp simulate montecarlo   sampled expected gradients against their closed forms',
  ],
  async run(values, context) {
    switch (values.what) {
      case 'attack':
        return runAttack(values, context);
      case 'training':
        return runTraining(values, context);
      case 'theorems':
        return runTheorems(values, context);
      case 'montecarlo':
        return runMonteCarlo(values, context);
    }
  },
});

/** Calls `work` with the chosen device, which it closes, or with `reference`. */
async function onDevice<T>(values: Values, work: (device: Device | 'reference') => Promise<T>): Promise<T> {
  const { device: wanted, adapter } = values;
  if (wanted === 'reference') return work(wanted);
  const device = await openDevice({ device: wanted, adapter });
  try {
    return await work(device);
  } finally {
    device.destroy();
  }
}

const adapterOf = (device: Device | 'reference'): VerbResult['adapter'] =>
  device === 'reference' ? referenceAdapter : shownAdapter(device);

async function runAttack(values: Values, { print, progress, signal, width }: VerbContext): Promise<VerbResult> {
  const file = values.input === undefined ? undefined : await readAttackArrays(values.input);
  const sizes = given({ d1: values.d1, d2: values.d2, d3: values.d3, repeats: values.repeats });
  if (file !== undefined) {
    for (const [name, value] of Object.entries(sizes)) {
      check(
        value === file.sizes[name as keyof typeof sizes],
        'bad-shape',
        `--${name} ${value} contradicts ${values.input}`,
        name,
      );
    }
  }
  check(
    values.rate === undefined || values.mode !== 'all',
    'bad-argument',
    '--rate needs one --mode: the modes have steps of their own',
    'rate',
  );
  const { eps, targetMean, targetDeviation, seed, mode, steps } = values;
  const settings: AttackSimulation = {
    ...attackDefaults,
    ...sizes,
    ...file?.sizes,
    ...given({ eps, targetMean, targetDeviation, steps }),
    seed,
    modes: mode === 'all' ? gradientModes : [mode],
    rates:
      mode === 'all' || values.rate === undefined
        ? attackDefaults.rates
        : { ...attackDefaults.rates, [mode]: values.rate },
  };
  return onDevice(values, async (device) => {
    const onProgress = (share: number): void => progress.update('attack', share);
    const options = { signal, onProgress };
    const { modes, seconds, compileSeconds } = await simulateAttack(device, settings, file?.arrays, options);
    progress.clear();
    print(
      `attack: d1 = ${settings.d1}, d2 = ${settings.d2}, d3 = ${settings.d3}, ${settings.repeats} ` +
        `repeats, ${settings.steps} steps, box ${settings.eps}`,
    );
    for (const [name, result] of modes) {
      print(`mode ${name}, step size ${settings.rates[name]}`);
      for (const line of describeSimulation(result, width)) print(line);
    }
    print(`${seconds.toFixed(2)} s after compilation`);
    const fields = {
      simulationSeconds: seconds,
      compileSeconds,
      modes: Object.fromEntries([...modes].map(([name, result]) => [name, simulationFields(result)])),
    };
    return { adapter: adapterOf(device), settings: { ...settings }, fields };
  });
}

async function runTraining(values: Values, { print, progress, signal, width }: VerbContext): Promise<VerbResult> {
  const { d, rows, steps, repeats, rate, targetMean, targetDeviation, seed } = values;
  const settings = {
    ...trainingDefaults,
    ...given({ d, rows, steps, repeats, rate, targetMean, targetDeviation }),
    seed,
  };
  return onDevice(values, async (device) => {
    const onProgress = (share: number): void => progress.update('training', share);
    const result = await simulateTraining(device, settings, { signal, onProgress });
    const { seconds, compileSeconds } = result;
    progress.clear();
    print(
      `training: d = ${settings.d}, ${settings.rows} rows a step, ${settings.repeats} repeats, ` +
        `${settings.steps} steps of ${settings.rate}`,
    );
    for (const line of describeSimulation(result, width)) print(line);
    print(`${seconds.toFixed(2)} s after compilation`);
    return {
      adapter: adapterOf(device),
      settings: { ...settings },
      fields: { simulationSeconds: seconds, compileSeconds, ...simulationFields(result) },
    };
  });
}

/**
 * Values of each map axis where none are given: around the defaults, and for eta from far below to beyond the bound
 * of 2.
 */
const mapValues: Readonly<Record<TheoremAxis, readonly number[]>> = {
  eta: [0.01, 0.05, 0.2, 0.5, 1, 1.5, 2, 2.25, 2.5, 3, 3.5, 4],
  eps: [0.05, 0.1, 0.25, 0.5, 1, 2, 4],
  dimension: [2, 3, 5, 10, 30, 100, 300],
  targetMean: [0, 0.25, 0.5, 1, 2, 4],
  targetDeviation: [0.25, 0.5, 1, 2, 3, 5],
  startDeviation: [0.1, 0.5, 1, 2, 4],
};

function readValues(axis: TheoremAxis, list: string | undefined): readonly number[] {
  if (list === undefined) return mapValues[axis];
  const numbers = list.split(',').map(readNumber);
  check(
    numbers.every(Number.isFinite),
    'bad-argument',
    `--values must be numbers with commas between them, got "${list}"`,
    'values',
  );
  expectOnce(numbers, 'values');
  return numbers;
}

async function runTheorems(values: Values, { print, progress, signal, width }: VerbContext): Promise<VerbResult> {
  const { eta, eps, steps, draws, targetMean, targetDeviation, seed, map: axis } = values;
  const chosen = values.theorem === 'both' ? ([1, 2] as const) : ([values.theorem === '1' ? 1 : 2] as const);
  check(
    chosen.some((theorem) => theorem === 1) || (eps === undefined && axis !== 'eps'),
    'bad-argument',
    'theorem 2 has no clip',
    'eps',
  );
  check(values.values === undefined || axis !== 'none', 'bad-argument', '--values needs a --map', 'values');
  check(
    !values.noClip || (eps === undefined && axis !== 'eps'),
    'bad-argument',
    '--no-clip excludes --eps and a map over it',
    'noClip',
  );
  const mapped = axis === 'none' ? [] : readValues(axis, values.values);
  const fields: Record<string, unknown> = {};
  for (const theorem of chosen) {
    const base: TheoremSettings = {
      ...theoremDefaults[theorem],
      ...given({ eta, steps, draws, targetMean, targetDeviation, dimension: values.d }),
      seed,
      ...(theorem === 1 && { eps: values.noClip ? undefined : (eps ?? theoremDefaults[1].eps) }),
    };
    const options = { signal, onProgress: (share: number): void => progress.update(`theorem ${theorem}`, share) };
    const result = await evaluateTheorem(base, options);
    progress.clear();
    for (const line of describeTheorem(result, width)) print(line);
    let map;
    if (axis !== 'none' && (axis !== 'eps' || theorem === 1)) {
      map = await mapTheorem(base, axis, mapped, options);
      progress.clear();
      for (const line of describeMap(map, width)) print(line);
    }
    print('');
    fields[`theorem${theorem}`] = theoremFields(result, map);
  }
  return { adapter: referenceAdapter, fields };
}

/** Draws of `montecarlo` where none are stated; plain loops are too slow for the device's number. */
const DRAWS = { device: 10_000_000, reference: 20_000 };

async function runMonteCarlo(values: Values, { print, progress, signal, width }: VerbContext): Promise<VerbResult> {
  const draws = values.draws ?? (values.device === 'reference' ? DRAWS.reference : DRAWS.device);
  const problems: MonteCarloSettings[] = [];
  const points = (d: number): { point: Float32Array; target: Float32Array } => {
    // At step 1, while what is sampled is drawn at step 0: the points are independent of it.
    const numbers = normals(values.seed, randomStreams.simulation, 0, 1, 2 * d);
    return { point: numbers.subarray(0, d), target: numbers.subarray(d) };
  };
  if (values.layers !== 'two') problems.push({ layers: 'one', ...points(values.d ?? 10), draws, seed: values.seed });
  if (values.layers !== 'one') {
    problems.push({
      layers: 'two',
      ...points(values.d1 ?? 6),
      hidden: { d2: values.d2 ?? 5, d3: values.d3 ?? 4 },
      draws,
      seed: values.seed,
    });
  }
  return onDevice(values, async (device) => {
    const results: MonteCarloResult[] = [];
    for (const settings of problems) {
      const onProgress = (share: number): void =>
        progress.update(`${settings.layers} layer${settings.layers === 'one' ? '' : 's'}`, share);
      const result = await monteCarlo(device, settings, { signal, onProgress });
      progress.clear();
      results.push(result);
      print(
        `${settings.layers === 'one' ? 'one layer, rows' : 'two layers, networks'}: ${draws} draws in ` +
          `${result.seconds.toFixed(2)} s`,
      );
      for (const estimate of result.estimates) for (const line of describeEstimate(estimate, width)) print(line);
    }
    const worst = Math.max(
      ...results.flatMap(({ estimates }) => estimates.map(({ largestDeviation }) => largestDeviation)),
    );
    // Seven standard errors come by chance once in 10^11; a sampled mean that far off means that formula or sampler
    // is wrong.
    if (!(worst < 7))
      throw new LinbpError(
        'internal',
        `sampled and closed-form gradients differ by ${worst.toFixed(1)} standard errors`,
      );
    return { adapter: adapterOf(device), settings: { draws }, fields: { problems: results.map(monteCarloFields) } };
  });
}
