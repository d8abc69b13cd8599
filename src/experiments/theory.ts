import { simulateAttack, simulateTraining } from '../theory/simulate.js';
import { attackDefaults, trainingDefaults } from '../theory/simulationSettings.js';
import { evaluateTheorem, mapTheorem, theoremDefaults } from '../theory/theorems.js';
import type { TheoremMap, TheoremResult } from '../theory/theorems.js';
import type { Band, CurveStatistics } from '../theory/statistics.js';
import { claim, percent, short, shownInterval } from './format.js';
import type { Interval } from './statistics.js';
import { sized } from './types.js';
import type {
  Curves,
  Experiment,
  ExperimentContext,
  ExperimentResult,
  HeatTable,
  ResultTable,
  Setting,
  Statement,
} from './types.js';

/** Effective steps of the maps, up to and beyond the bound of 2. */
const etas = [0.05, 0.2, 0.5, 1, 1.5, 2, 2.25, 2.5, 3, 3.5];
/** Steps of the maps: beyond them both sides are down to rounding at most of the rates. */
const mapSteps = 30;
/** Points of a curve at most. */
const points = 100;

const intervalAt = ({ mean, halfWidth }: Band, t: number): Interval => ({
  mean: mean[t]!,
  low: mean[t]! - halfWidth[t]!,
  high: mean[t]! + halfWidth[t]!,
});

function distanceCurves(title: string, distance: CurveStatistics, log: boolean): Curves {
  const last = distance.won.length - 1;
  const every = Math.max(1, Math.round(last / points));
  const steps = Array.from({ length: Math.floor(last / every) + 1 }, (_, k) => k * every);
  const line = (name: string, rule: string, band: Band) => ({
    ...{ name, rule },
    points: steps.map((t) => [t, band.mean[t]!] as const),
    // A logarithmic axis has no place for 0 and below.
    ...(!log && {
      band: steps.map((t) => {
        const { low, high } = intervalAt(band, t);
        return [low, high] as const;
      }),
    }),
  });
  return {
    title,
    x: { title: 'step' },
    y: { title: 'distance to the teacher', ...(log && { log }) },
    lines: [line('BP', 'bp', distance.bp), line('LinBP', 'linbp', distance.linbp)],
  };
}

/** A claim about the last step of a simulation, and its row of the table. */
function outcome(
  what: string,
  distance: CurveStatistics,
): { readonly statement: Statement; readonly row: readonly string[] } {
  const last = distance.won.length - 1;
  const gap = intervalAt(distance.margin, last);
  const ratio = distance.linbp.mean[last]! / distance.bp.mean[last]!;
  const won = percent(distance.won[last]!, 0);
  const text =
    `${what}: after ${last} steps LinBP is closer to the teacher than BP, BP - LinBP = ` +
    `${shownInterval(gap)}, and is in ${won} of the repeats.`;
  const row = [
    what,
    short(distance.bp.mean[0]!),
    shownInterval(intervalAt(distance.bp, last)),
    shownInterval(intervalAt(distance.linbp, last)),
  ];
  return { statement: claim(text, gap, 'above'), row: [...row, shownInterval(gap), short(ratio), won] };
}

function theoremStatements(result: TheoremResult, map: TheoremMap): Statement[] {
  const { theorem, eta, eps, steps, draws } = result.settings;
  const margin = Math.min(...result.margin.subarray(1));
  const at = `eta' ${eta}${eps === undefined ? '' : `, clip ${eps}`}, ${draws} draws, ${steps} steps`;
  const of = (verdict: string): string =>
    map.values.filter((_, i) => map.rows[i]!.verdict === verdict).join(', ') || 'none';
  return [
    {
      verdict: result.verdict === 'every draw' ? 'holds' : result.verdict === 'fails' ? 'fails' : 'open',
      text:
        `Theorem ${theorem} with expected gradients (${at}): E|a* - a| of ` +
        `LinBP is at most BP's at every step, for ${percent(1 - result.drawsViolating, 0)} of the draws; ` +
        `the smallest mean margin is ${short(margin)}.`,
    },
    {
      verdict: 'note',
      text:
        `Theorem ${theorem} over ${mapSteps} steps without a clip: it holds ` +
        `for every draw at eta' ${of('every draw')}; on average only at ${of('on average')}; it fails at ` +
        `${of('fails')}. LinBP is monotone up to 2.`,
    },
  ];
}

const rowNames = (map: TheoremMap): string[] => map.values.map((value) => `eta' ${value}`);

const violations = (theorem: number, map: TheoremMap): HeatTable => ({
  title: `Theorem ${theorem}: share of the draws for which BP is closer`,
  columns: map.times.map(String),
  rows: rowNames(map),
  columnTitle: 'step',
  values: map.violating,
});

const margins = (theorem: number, map: TheoremMap): ResultTable => ({
  title: `Theorem ${theorem}: margin (BP - LinBP) / BP of the mean distances by step`,
  columns: ['', ...map.times.map((t) => `step ${t}`), 'holds for'],
  rows: map.rows.map((row, i) => [
    rowNames(map)[i]!,
    ...map.margin[i]!.map((margin) => percent(margin)),
    row.verdict === 'fails' ? 'not' : row.verdict,
  ]),
});

/** How much is simulated. */
interface TheorySizes {
  readonly repeats: number;
  readonly trainingRepeats: number;
  readonly steps: number;
  readonly draws: number;
  readonly seed: number;
}

function settingsOf({ repeats, trainingRepeats, steps, draws, seed }: TheorySizes): Setting[] {
  return [
    {
      name: 'attack',
      ours: `100-20-10, 100 steps, clip 0.25, ${repeats} repeats in one program`,
      official: 'the same, 10 repeats',
    },
    {
      name: 'step sizes',
      ours: 'gradient 0.001; normalized 0.05; sign 0.005',
      official: 'the same; normalized by default',
    },
    {
      name: 'training',
      ours: `d 10, 100 rows, ${steps} steps of 0.001, ${trainingRepeats} repeats in one program`,
      official: '10000 steps, 10 repeats',
    },
    { name: 'random numbers', ours: `Philox, seed ${seed}`, official: "NumPy's, seed 0 (training: none)" },
    {
      name: 'theorems',
      ours: `population dynamics in float64, ${draws} draws of teacher and start`,
      official: 'proofs',
    },
  ];
}

interface EvaluatedTheorem {
  readonly theorem: 1 | 2;
  readonly result: TheoremResult;
  readonly map: TheoremMap;
}

const figuresOf = ({ theorem, result, map }: EvaluatedTheorem) => ({
  theorem,
  verdict: result.verdict,
  drawsViolating: result.drawsViolating,
  stepsViolating: result.stepsViolating,
  map: {
    values: map.values,
    times: map.times,
    margin: map.margin,
    violating: map.violating,
    verdicts: map.rows.map((row) => row.verdict),
  },
});

async function evaluated(
  theorem: 1 | 2,
  draws: number,
  { seed, signal, progress }: ExperimentContext,
): Promise<EvaluatedTheorem> {
  const base = { ...theoremDefaults[theorem], draws, seed };
  const options = { signal, onProgress: (share: number): void => progress.update(`theorem ${theorem}`, share) };
  return {
    theorem,
    result: await evaluateTheorem(base, options),
    map: await mapTheorem({ ...base, eps: undefined, steps: mapSteps }, 'eta', etas, options),
  };
}

async function run(context: ExperimentContext): Promise<ExperimentResult> {
  const { scale, device, seed, signal, progress } = context;
  const repeats = sized(4000, scale, 400);
  const trainingRepeats = sized(100, scale, 10);
  const draws = sized(3000, scale, 100);
  const steps = sized(10_000, Math.sqrt(scale), 1000);
  const attack = await simulateAttack(device, { ...attackDefaults, repeats, seed }, undefined, {
    signal,
    onProgress: (share) => progress.update('attack simulation', share),
  });
  const training = await simulateTraining(
    device,
    { ...trainingDefaults, steps, repeats: trainingRepeats, seed },
    { signal, onProgress: (share) => progress.update('training simulation', share) },
  );
  const theorems = [await evaluated(1, draws, context), await evaluated(2, draws, context)];
  const outcomes = [
    ...[...attack.modes].map(([mode, { distance }]) => outcome(`Attack, mode ${mode}`, distance)),
    outcome('Training', training.distance),
  ];
  return {
    settings: settingsOf({ repeats, trainingRepeats, steps, draws, seed }),
    curves: [
      ...[...attack.modes].map(([mode, { distance }]) => distanceCurves(`Attack, mode ${mode}`, distance, false)),
      distanceCurves('Training', training.distance, true),
    ],
    maps: theorems.map(({ theorem, map }) => violations(theorem, map)),
    tables: [
      {
        title: 'Distance to the teacher after the last step: mean [95 %] over the repeats',
        columns: ['simulation', 'start', 'BP', 'LinBP', 'BP - LinBP', 'LinBP / BP', 'LinBP wins'],
        rows: outcomes.map(({ row }) => row),
      },
      ...theorems.map(({ theorem, map }) => margins(theorem, map)),
    ],
    statements: [
      ...outcomes.map(({ statement }) => statement),
      ...theorems.flatMap(({ result, map }) => theoremStatements(result, map)),
    ],
    figures: {
      simulations: outcomes.map(({ row }) => row),
      seconds: { attack: attack.seconds, training: training.seconds },
      theorems: theorems.map(figuresOf),
    },
  };
}

/**
 * The student-teacher simulations and the convergence theorems of the theory paper; `linbp simulate` has all their
 * settings.
 */
export const theory: Experiment = {
  name: 'theory',
  summary:
    'student-teacher simulations of attack and training with BP and LinBP, and where the two convergence theorems hold',
  run,
};
