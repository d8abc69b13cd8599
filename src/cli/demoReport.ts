import type { EightBitImage } from '../io/png.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import {
  amplifiedDifference,
  comparisonTable,
  facts,
  figures,
  heading,
  heatMap,
  htmlTable,
  imageGrid,
} from '../report/index.js';
import {
  lineChart,
  machineFacts,
  page,
  palette,
  paragraph,
  percentAxis,
  profileBody,
  ruleColor,
  ruleLayerChart,
  ruleName,
} from '../report/index.js';
import type { Figure, GridImage, GridRow, KeyFigure, Line, Section } from '../report/index.js';
import { pixelRange } from './common.js';
import { demoAttack, demoRules, profileBatch } from './demoRun.js';
import type { DemoAttack, DemoAttacks, DemoProfiles, DemoRule, DemoTraining, DemoTrainings } from './demoRun.js';

/** Everything that the report shows. */
export interface DemoFindings {
  readonly trainings: DemoTrainings;
  readonly attacks: DemoAttacks;
  readonly profiles: DemoProfiles;
  readonly adapter: AdapterInfo;
  readonly version: string;
  /** Settings in words, by name. */
  readonly settings: Readonly<Record<string, string>>;
  readonly seconds: number;
}

/** Samples shown as pictures. */
const shownSamples = 8;
/** Of charts that stand three in a row. */
const small = { width: 400, height: 290 };
const percent = (share: number, decimals = 1): string => `${(100 * share).toFixed(decimals)} %`;

/** Means over blocks of steps with the lowest and highest of each block: [step, mean, low, high]. */
export function blocksOf(
  values: readonly number[],
  blocks: number,
): [step: number, mean: number, low: number, high: number][] {
  const size = Math.max(1, Math.ceil(values.length / blocks));
  return Array.from({ length: Math.ceil(values.length / size) }, (_, index) => {
    const own = values.slice(index * size, (index + 1) * size);
    const mean = own.reduce((sum, value) => sum + value, 0) / own.length;
    return [index * size + (own.length + 1) / 2, mean, Math.min(...own), Math.max(...own)];
  });
}

function lossChart(runs: readonly DemoTraining[]): Figure {
  const lines = runs.map((run): Line => {
    const blocks = blocksOf(
      run.steps.map((step) => step.loss),
      48,
    );
    return {
      name: ruleName(run.rule),
      color: ruleColor(run.rule),
      points: blocks.map(([step, mean]) => [step, mean]),
      band: blocks.map(([, , low, high]) => [low, high]),
      symbols: false,
    };
  });
  return lineChart({
    title: 'training loss',
    x: { title: 'step', min: 0 },
    y: { title: 'mean cross entropy', min: 0 },
    lines,
  });
}

/** The lowest round tick below all values, so that curves near the top can be told apart. */
const floorShare = (values: readonly number[]): number => Math.max(0, Math.floor(10 * Math.min(...values) - 0.2) / 10);

function accuracyChart({ runs, initialAccuracy }: DemoTrainings): Figure {
  const accuracies = runs.flatMap((run) => run.epochs.map((epoch) => epoch.testAccuracy!));
  const min = floorShare([initialAccuracy, ...accuracies]);
  const lines = runs.map((run): Line => ({
    name: ruleName(run.rule),
    color: ruleColor(run.rule),
    points: [[0, initialAccuracy], ...run.epochs.map((epoch) => [epoch.epoch, epoch.testAccuracy!] as const)],
  }));
  return lineChart({
    title: 'test accuracy',
    x: { title: 'epoch', min: 0, interval: 1 },
    y: { ...percentAxis('test accuracy'), min },
    lines,
  });
}

function trainingSection(trainings: DemoTrainings): Section {
  const { runs, train, test } = trainings;
  const table = htmlTable<DemoTraining>(
    [
      {
        title: 'rule of the weight gradient',
        value: (run) => ruleName(run.rule),
        dot: (run) => ruleColor(run.rule).name,
      },
      { title: 'epochs', value: (run) => String(run.epochs.length), number: true },
      { title: 'steps', value: (run) => String(run.steps.length), number: true },
      { title: 'last train loss', value: (run) => run.epochs.at(-1)!.trainLoss.toFixed(4), number: true },
      { title: 'test loss', value: (run) => run.epochs.at(-1)!.testLoss!.toFixed(4), number: true },
      { title: 'test accuracy, %', value: (run) => (100 * run.epochs.at(-1)!.testAccuracy!).toFixed(2), number: true },
      { title: 'images/s', value: (run) => run.imagesPerSecond.toFixed(0), number: true },
    ],
    runs,
  );
  const words = `LeNet-5 is trained twice on ${train.count} images of ${train.name}, from the same weights and in the same order: once with ordinary backpropagation (BP), once with LinBP, which lets the gradient through the ReLUs of the classifier unmasked. The forward pass is the same network. Tested on ${test.count} images.`;
  return {
    title: 'Training',
    body: [
      paragraph(words),
      figures([
        { figure: lossChart(runs), caption: 'Training loss: block means, lowest and highest step as a band' },
        { figure: accuracyChart(trainings), caption: 'Test accuracy after each epoch' },
      ]),
      table,
    ].join('\n'),
  };
}

const ofRule = (attacks: DemoAttacks, rule: DemoRule): DemoAttack[] =>
  attacks.attacks.filter((attack) => attack.rule === rule).sort((left, right) => left.eps - right.eps);

/** The attack that curves over steps and pictures are of: the first radius that was run. */
const mainEps = (attacks: DemoAttacks): number => attacks.attacks[0]!.eps;

function stepsChart(attacks: DemoAttacks): Figure {
  const lines = demoRules.map((rule): Line => {
    const { result } = ofRule(attacks, rule).find((attack) => attack.eps === mainEps(attacks))!;
    return {
      name: `${ruleName(rule)} gradient`,
      color: ruleColor(rule),
      points: result.curve.map((point) => [point.step, point.robustAccuracy]),
    };
  });
  return lineChart({
    title: 'accuracy against steps',
    x: { title: 'PGD steps', min: 0, max: demoAttack.steps },
    y: percentAxis('accuracy under attack'),
    lines,
    size: small,
  });
}

function radiusChart(attacks: DemoAttacks): Figure {
  const lines = demoRules.map((rule): Line => {
    const own = ofRule(attacks, rule);
    return {
      name: `${ruleName(rule)} gradient`,
      color: ruleColor(rule),
      points: [
        [0, own[0]!.result.cleanAccuracy],
        ...own.map((attack) => [attack.eps, attack.result.robustAccuracy] as const),
      ],
    };
  });
  const x = { title: 'eps, in pixels of [0, 1]', min: 0, format: (value: number) => String(Number(value.toFixed(3))) };
  return lineChart({ title: 'accuracy against eps', x, y: percentAxis('accuracy under attack'), lines, size: small });
}

function transferChart(attacks: DemoAttacks): Figure {
  const lines = demoRules.map((rule): Line => ({
    name: `${ruleName(rule)} gradient`,
    color: ruleColor(rule),
    dashed: true,
    points: [
      [0, attacks.transferCleanAccuracy],
      ...ofRule(attacks, rule).map((attack) => [attack.eps, attack.transferAccuracy] as const),
    ],
  }));
  const x = { title: 'eps, in pixels of [0, 1]', min: 0, format: (value: number) => String(Number(value.toFixed(3))) };
  return lineChart({ title: 'transfer', x, y: percentAxis('accuracy of the other network'), lines, size: small });
}

function stepsHeatMap(attacks: DemoAttacks, rule: DemoRule): Figure {
  const own = ofRule(attacks, rule);
  const steps = [0, 1, 2, 3, 5, 7, 10, 15, 20].filter((step) => step <= demoAttack.steps);
  const at = (attack: DemoAttack, step: number): number =>
    attack.result.curve.find((point) => point.step === step)!.robustAccuracy;
  return heatMap({
    title: `accuracy by eps and steps, ${ruleName(rule)}`,
    columns: steps.map(String),
    rows: own.map((attack) => `eps ${attack.eps}`),
    columnTitle: 'PGD steps',
    values: own.map((attack) => steps.map((step) => at(attack, step))),
    min: 0,
    max: 1,
    label: (value) => `${Math.round(100 * value)} %`,
  });
}

function attackSection(attacks: DemoAttacks): Section {
  const rows = [...attacks.attacks].sort(
    (left, right) => left.eps - right.eps || demoRules.indexOf(left.rule) - demoRules.indexOf(right.rule),
  );
  const table = htmlTable<DemoAttack>(
    [
      { title: 'gradient', value: (row) => ruleName(row.rule), dot: (row) => ruleColor(row.rule).name },
      { title: 'eps', value: (row) => row.eps.toFixed(3), number: true },
      { title: 'accuracy under attack, %', value: (row) => (100 * row.result.robustAccuracy).toFixed(1), number: true },
      {
        title: 'as saved in 8 bits, %',
        value: (row) => (100 * row.result.saved.robustAccuracy).toFixed(1),
        number: true,
      },
      {
        title: 'success of the images right before, %',
        value: (row) => (100 * row.result.successRate).toFixed(1),
        number: true,
      },
      { title: 'other network, %', value: (row) => (100 * row.transferAccuracy).toFixed(1), number: true },
      { title: 'mean L2 as saved', value: (row) => row.result.l2.mean.toFixed(3), number: true },
      { title: 'image gradients/s', value: (row) => row.result.imageGradientsPerSecond.toFixed(0), number: true },
    ],
    rows,
  );
  const words = `PGD with ${demoAttack.steps} steps in the L-infinity ball, from a random start (step 0), on ${attacks.images.count} test images. The network under attack is the one trained with BP; only the attack's gradient changes its rule, and success is always judged on the ordinary forward pass. The other network, trained with LinBP, never takes part: what fools it has transferred.`;
  return {
    title: 'Attacks',
    body: [
      paragraph(words),
      figures([
        { figure: stepsChart(attacks), caption: `Accuracy against steps at eps ${mainEps(attacks)}` },
        { figure: radiusChart(attacks), caption: `Accuracy against eps after ${demoAttack.steps} steps` },
        { figure: transferChart(attacks), caption: 'Transfer to the other network' },
      ]),
      figures(
        demoRules.map((rule) => ({
          figure: stepsHeatMap(attacks, rule),
          caption: `Accuracy by eps and steps, ${ruleName(rule)} gradient`,
        })),
      ),
      table,
    ].join('\n'),
  };
}

/** Samples that are right when clean; first those that every rule fools, of as many classes as there are. */
export function chooseSamples(attacks: readonly DemoAttack[], labels: ArrayLike<number>, wanted: number): number[] {
  const samples = attacks[0]!.result.samples
    .map((_, n) => n)
    .filter((n) => attacks[0]!.result.samples[n]!.cleanCorrect);
  const fooled = (n: number): number => attacks.filter((attack) => attack.result.samples[n]!.savedSuccess).length;
  const byWorth = [...samples].sort((left, right) => fooled(right) - fooled(left) || left - right);
  const chosen: number[] = [];
  for (const repeats of [0, 1, Infinity]) {
    for (const n of byWorth) {
      const same = chosen.filter((each) => labels[each] === labels[n]).length;
      if (chosen.length < wanted && same <= repeats && !chosen.includes(n)) chosen.push(n);
    }
  }
  return chosen.sort((left, right) => labels[left]! - labels[right]!);
}

function imageSection(attacks: DemoAttacks): Section {
  const { images } = attacks;
  const { channels, height, width, labels } = images;
  const size = channels * height * width;
  const eps = mainEps(attacks);
  const main = demoRules.map((rule) => ofRule(attacks, rule).find((attack) => attack.eps === eps)!);
  const chosen = chooseSamples(main, labels, shownSamples);
  const gain = 127 / Math.floor(255 * eps + 1e-9);
  const clean = chosen.map((n): EightBitImage => {
    return {
      channels,
      height,
      width,
      data: Uint8Array.from(pixelRange(images, n, n + 1), (pixel) => Math.round(255 * pixel)),
    };
  });
  const name = (label: number): string => images.classNames?.[label] ?? String(label);
  const rows: GridRow[] = [
    {
      title: 'clean',
      images: chosen.map((n, i) => ({ image: clean[i]!, caption: name(labels[n]!), verdict: 'right' as const })),
    },
  ];
  for (const { rule, result, predictions } of main) {
    const changed = chosen.map((n): EightBitImage => ({
      channels,
      height,
      width,
      data: result.images8.slice(n * size, (n + 1) * size),
    }));
    const seen = (n: number, i: number): GridImage => {
      const wrong = predictions[n] !== labels[n];
      return {
        image: changed[i]!,
        caption: wrong ? `${name(labels[n]!)} → ${name(predictions[n]!)}` : name(labels[n]!),
        verdict: wrong ? 'wrong' : 'right',
      };
    };
    const difference = (n: number, i: number): GridImage => ({
      image: amplifiedDifference(changed[i]!, clean[i]!, gain),
      caption: `max ${Math.round(255 * result.samples[n]!.linf)}/255`,
    });
    rows.push({ title: `${ruleName(rule)} adversarial`, images: chosen.map(seen) });
    rows.push({ title: `${ruleName(rule)} difference × ${gain.toFixed(1)}`, images: chosen.map(difference) });
  }
  const words = `Test images, the same after the attack at eps ${eps} as saved in 8 bits, and what was added, amplified around middle gray. Below each what the network under attack sees; a wrong answer is red.`;
  return { title: 'Images', body: `${paragraph(words)}\n${imageGrid(rows, 84)}` };
}

function shaderSection(profiles: DemoProfiles): Section {
  const part = (title: string, words: string, list: DemoProfiles['train']): string =>
    [
      heading(title),
      paragraph(words),
      comparisonTable(list),
      figures([{ figure: ruleLayerChart(list), caption: `${title}: time by layer` }]),
      ...list.map(
        (profile) =>
          `${heading(`${title}, ${ruleName(profile.label)}`)}\n${profileBody(profile, undefined, { folded: profile.label !== 'bp' })}`,
      ),
    ].join('\n');
  return {
    title: 'Shaders',
    body: [
      part(
        'Training step',
        `One step at batch ${profileBatch}: gather, forward, backward under the rule, record and update, in one submit.`,
        profiles.train,
      ),
      part(
        'Attack step',
        `One PGD step at batch ${profileBatch}: forward, gradient with respect to the images only, step and projection.`,
        profiles.attack,
      ),
    ].join('\n'),
  };
}

function keyFiguresOf({ trainings, attacks }: DemoFindings): KeyFigure[] {
  const main = demoRules.map((rule) => ofRule(attacks, rule).find((attack) => attack.eps === mainEps(attacks))!);
  return [
    ...trainings.runs.map((run) => ({
      label: `test accuracy, ${ruleName(run.rule)}`,
      value: percent(run.epochs.at(-1)!.testAccuracy!, 2),
      note: `after ${run.epochs.length} epochs of ${trainings.train.count} images`,
      color: ruleColor(run.rule).name,
    })),
    ...main.map(({ rule, eps, result }) => ({
      label: `under attack, ${ruleName(rule)} gradient`,
      value: percent(result.robustAccuracy),
      note: `PGD-${demoAttack.steps}, eps ${eps}; clean ${percent(result.cleanAccuracy)}`,
      color: ruleColor(rule).name,
    })),
    {
      label: 'training speed',
      value: `${trainings.runs[0]!.imagesPerSecond.toFixed(0)} images/s`,
      note: 'forward, backward and update',
      color: palette.third.name,
    },
  ];
}

/** The report of the demo: one HTML document that needs nothing else. */
export function demoReport(findings: DemoFindings): string {
  const { trainings, attacks, profiles, adapter, version, settings, seconds } = findings;
  return page({
    title: 'LeNet-5, trained and attacked on the GPU',
    subtitle: `${trainings.train.name} · BP and LinBP · ${adapter.description || adapter.device}`,
    keyFigures: keyFiguresOf(findings),
    sections: [
      trainingSection(trainings),
      attackSection(attacks),
      imageSection(attacks),
      shaderSection(profiles),
      {
        title: 'Machine and settings',
        body: [
          heading('Machine'),
          facts(machineFacts(adapter, version)),
          heading('Settings'),
          facts(Object.entries(settings)),
        ].join('\n'),
      },
    ],
    footer: `linbp ${version} · ${new Date().toISOString().slice(0, 19).replace('T', ' ')} UTC · ${seconds.toFixed(0)} s in all`,
  });
}
