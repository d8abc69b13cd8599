import { percent } from '../../experiments/format.js';
import type { EightBitImage } from '../../io/png.js';
import {
  codeLines,
  comparisonTable,
  facts,
  figures,
  folded,
  heading,
  htmlTable,
  imageGrid,
  intervalChart,
  machineFacts,
  page,
  pageFooter,
  palette,
  paragraph,
  profileBody,
  ruleLayerChart,
  ruleName,
  verdictList,
} from '../../report/index.js';
import type { Estimate, Figure, GridRow, Section } from '../../report/index.js';
import type { AdapterInfo } from '../../runtime/adapter.js';
import { counted } from '../../quote.js';
import { shownEps } from '../../attacks/shownEps.js';
import { pixelRange } from '../common.js';
import { lossChart, rateChart, rateTable, rateWords } from '../trainingCharts.js';
import { ownName, ownRule } from './contenders.js';
import type { Leaderboard, LeaderboardRow, VictimAccuracy } from './leaderboard.js';
import { raceRules, raceSettings } from './race.js';
import type { Race, RaceRun } from './race.js';
import { profileBatch } from './shaders.js';
import type { DemoProfiles } from './shaders.js';

/** What a demo found, for {@link demoReport}. */
export interface DemoFindings {
  readonly verdicts: readonly string[];
  readonly leaderboard: Leaderboard;
  readonly race: Race;
  readonly profiles: DemoProfiles;
  readonly adapter: AdapterInfo;
  readonly version: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly seconds: number;
}

/** Samples shown as pictures. */
const shownSamples = 6;

/** With an interval that no line break parts. */
const shown = ({ accuracy, low, high }: VictimAccuracy): string =>
  `${(100 * accuracy).toFixed(1)} (${(100 * low).toFixed(0)}\u00a0to\u00a0${(100 * high).toFixed(0)})`;

function accuracyChart({ rows, clean }: Leaderboard): Figure {
  const colors = [palette.third, palette.fourth, palette.fifth];
  const estimate = ({ accuracy, low, high }: VictimAccuracy): Estimate => ({ value: accuracy, low, high });
  return intervalChart({
    title: 'accuracy left on networks that the attack never touched',
    categories: rows.map(({ name, mask }) => ({ name, note: mask })),
    x: 'accuracy left: lower is stronger',
    reference: 'no attack',
    series: clean.map((victim, index) => ({
      name: victim.model,
      color: colors[index % colors.length]!,
      reference: estimate(victim),
      values: rows.map(({ victims }) => estimate(victims[index]!)),
    })),
    label: (value) => percent(value),
  });
}

/** What each rule puts in the place of the mask. */
const rulesTable = ({ rows }: Leaderboard): string =>
  htmlTable<LeaderboardRow>(
    [
      { title: 'rule', value: ({ name }) => name, narrow: 'wrapped' },
      { title: "in the place of the ReLU's mask", value: ({ means }) => means, prose: true },
      { title: 'at which ReLUs', value: ({ where }) => where, prose: true },
      { title: 'as --rule takes it', value: ({ rule }) => rule, narrow: 'dropped' },
    ],
    rows,
  );

function accuracyTable({ rows, clean }: Leaderboard): string {
  type Row = { readonly name: string; readonly victims: readonly VictimAccuracy[]; readonly difference: string };
  const difference = (row: LeaderboardRow): string =>
    row === rows[0]
      ? ''
      : `${(100 * row.difference.mean).toFixed(1)} (${(100 * row.difference.low).toFixed(1)} to ` +
        `${(100 * row.difference.high).toFixed(1)})`;
  const lines: Row[] = [
    { name: 'no attack', victims: clean, difference: '' },
    ...rows.map((row) => ({ ...row, difference: difference(row) })),
  ];
  return htmlTable<Row>(
    [
      { title: 'gradient', value: ({ name }) => name, narrow: 'wrapped' },
      ...clean.map(({ model }, index) => ({
        title: `${model}, %\u00a0right`,
        value: ({ victims }: Row) => shown(victims[index]!),
        number: true,
        narrow: 'wrapped' as const,
      })),
      { title: 'mean change against BP, points', value: (row) => row.difference, number: true, narrow: 'wrapped' },
    ],
    lines,
  );
}

/** What the leaderboard shows, before it is seen. */
export function leaderboardWords({ source, steps }: Pick<Leaderboard, 'source' | 'steps'>): string[] {
  return [
    `Each image is changed a little, in ${steps} steps along a gradient of ${source}, the only network that the ` +
      'attack sees. The images are then shown to networks that it never touched. Numbers are the share of images ' +
      `that these still get right: lower is stronger. Every rule has the same budget of ${steps} steps.`,
    'The true gradient (BP) is multiplied at each ReLU by its mask: 1 where the input was positive, 0 elsewhere. ' +
      'Every other rule puts something else in the place of the mask, which stands beside its name; the forward pass ' +
      'is always that of the ordinary network. LinBP is linear backpropagation (Guo, Li and Chen, 2020), BPA the ' +
      'backward propagation attack (Wang and others, 2023); "half" shows how to write a rule of your own.',
  ];
}

function leaderboardSection(found: Leaderboard): Section {
  const { images, source, networks, eps, steps } = found;
  const details =
    `The attack on ${source} is I-FGSM (${steps} steps, L-infinity, eps ${shownEps(eps)}, last iterate, saved in 8 ` +
    `bits). ${networks} In parentheses 95 % intervals: over images (Wilson), and for differences over pairs of ` +
    'images (bootstrap).';
  const caption =
    `Accuracy left on ${images.count} images of ${images.name}. Numbers are where the colored bars end; in ` +
    'parentheses and as whiskers their 95 % intervals';
  return {
    title: 'Leaderboard of backward rules',
    body: [
      ...leaderboardWords(found).map(paragraph),
      figures([{ figure: accuracyChart(found), caption }]),
      rulesTable(found),
      accuracyTable(found),
      paragraph(details),
    ].join('\n'),
  };
}

/** Samples that the last rule's images fool the first network with, of as many classes as there are. */
export function chooseSamples(
  { rows, clean, images }: Pick<Leaderboard, 'rows' | 'clean' | 'images'>,
  wanted: number,
): number[] {
  const rightBefore = clean[0]!.right;
  const fooled = (n: number): number => rows.filter(({ victims }) => victims[0]!.right[n] === 0).length;
  const candidates = [...rightBefore.keys()].filter((n) => rightBefore[n] === 1);
  // Images that some rules fool the network with, and others do not, show the difference.
  const telling = (n: number): number => Math.min(fooled(n), rows.length - fooled(n));
  candidates.sort((a, b) => telling(b) - telling(a) || a - b);
  const chosen: number[] = [];
  for (const repeats of [0, Infinity]) {
    for (const n of candidates) {
      const same = chosen.filter((each) => images.labels[each] === images.labels[n]).length;
      if (chosen.length < wanted && same <= repeats && !chosen.includes(n)) chosen.push(n);
    }
  }
  return chosen.sort((a, b) => images.labels[a]! - images.labels[b]!);
}

function imageSection(found: Leaderboard): Section {
  const { images, rows, clean, eps } = found;
  const { channels, height, width } = images;
  const size = channels * height * width;
  const name = (label: number): string => images.classNames?.[label] ?? String(label);
  const chosen = chooseSamples(found, shownSamples);
  const before = (n: number): EightBitImage => {
    const data = Uint8Array.from(pixelRange(images, n, n + 1), (pixel) => Math.round(255 * pixel));
    return { channels, height, width, data };
  };
  const row = (title: string, victim: VictimAccuracy, image: (n: number) => EightBitImage): GridRow => ({
    title,
    images: chosen.map((n) => ({
      image: image(n),
      caption: name(victim.predictions[n]!),
      verdict: victim.right[n] === 1 ? ('right' as const) : ('wrong' as const),
    })),
  });
  const grid = [
    row('no attack', clean[0]!, before),
    ...rows.map((each) =>
      row(each.name, each.victims[0]!, (n) => ({
        channels,
        height,
        width,
        data: each.images8.slice(n * size, (n + 1) * size),
      })),
    ),
  ];
  const words =
    `Below each image what ${clean[0]!.model}, which was not attacked, sees; a wrong answer is red. No pixel moves ` +
    `by more than ${Math.floor(255 * eps + 1e-9)} of 255 levels. Shown are images on which the rules differ, so ` +
    'the rows do not count how strong they are.';
  return { title: 'Pictures', body: `${paragraph(words)}\n${imageGrid(grid, 84)}` };
}

/** How many seeds there are at which rates: "5 seeds at learning rate 0.1; 2 seeds at learning rates 0.05 and 0.2". */
export function seedsText(runs: readonly Pick<RaceRun, 'lr' | 'seed'>[]): string {
  const rates = [...new Set(runs.map(({ lr }) => lr))].sort((a, b) => a - b);
  const byCount = new Map<number, number[]>();
  for (const rate of rates) {
    const count = new Set(runs.filter(({ lr }) => lr === rate).map(({ seed }) => seed)).size;
    byCount.set(count, [...(byCount.get(count) ?? []), rate]);
  }
  return [...byCount]
    .sort(([a], [b]) => b - a)
    .map(([count, at]) => `${counted(count, 'seed')} at learning rate${at.length > 1 ? 's' : ''} ${listed(at)}`)
    .join('; ');
}

/** Numbers in a row, the last one behind "and". */
const listed = (numbers: readonly number[]): string =>
  numbers.length < 2 ? numbers.join('') : `${numbers.slice(0, -1).join(', ')} and ${numbers.at(-1)!}`;

function trainingSection({ data, runs }: Race): Section {
  const main = runs.filter(({ lr }) => lr === raceSettings.main);
  const model = raceSettings.model.toUpperCase();
  const words =
    `This is another network than the attacked one: an ${model}, trained on ${data.train.count} images of ` +
    `${data.train.name} with plain SGD, batch ${raceSettings.batch}, ${raceSettings.epochs} epochs, from the same ` +
    `weights and in the same order of images for both rules. Each rule has ${seedsText(runs)}; the band is ` +
    'the 95 % interval over seeds. LinBP puts 1 in the place of the mask at the last two of the three ReLUs. A run ' +
    `fails if its loss is not finite or stays where guessing is. ${rateWords(runs)}`;
  return {
    title: 'Training',
    body: [
      paragraph(words.trim()),
      figures([
        {
          figure: lossChart(runs, raceRules, raceSettings.main),
          caption: `Training loss, mean of ${seedsText(main)}`,
        },
        {
          figure: rateChart(runs, raceRules),
          caption: `Final loss against the learning rate, mean of ${seedsText(runs)}`,
        },
      ]),
      rateTable(runs, raceRules),
    ].join('\n'),
  };
}

function ownRuleSection({ rows, clean }: Leaderboard): Section {
  const own = rows.find(({ name }) => name === ownName);
  const found =
    own === undefined
      ? 'its gradients were not finite'
      : `it leaves ${percent(own.victims[0]!.accuracy)} on ${clean[0]!.model} ` +
        `(row "${own.name}" of the leaderboard)`;
  const words =
    `A backward rule is one WGSL function: g is dL/dy, d the activation's derivative, the result dL/dz. ` +
    'This one lets half of what a ReLU blocks through. It is linked into the ' +
    `kernels, and ${found}. ` +
    'Change the line and run the attack again; examples/rule-wgsl.ts is a whole program.';
  return {
    title: 'Change it yourself',
    body: `${codeLines(ownRule.code)}\n${paragraph(words)}`,
  };
}

function shaderSection(profiles: DemoProfiles): Section {
  const part = (title: string, words: string, list: DemoProfiles['train']): string =>
    [
      paragraph(words),
      comparisonTable(list),
      figures([{ figure: ruleLayerChart(list), caption: `${title}: time by layer` }]),
      ...list.map((profile) =>
        folded(`${title}, ${ruleName(profile.label)}: every shader`, profileBody(profile, undefined, { folded: true })),
      ),
    ].join('\n');
  return {
    title: 'Shaders',
    body: [
      folded(
        'Training step',
        part(
          'Training step',
          `One step at batch ${profileBatch}: gather, forward, ` +
            'backward under the rule, record and update, in one submit.',
          profiles.train,
        ),
      ),
      folded(
        'Attack step',
        part(
          'Attack step',
          `One PGD step at batch ${profileBatch}: forward, ` +
            'gradient with respect to the images only, step and projection.',
          profiles.attack,
        ),
      ),
    ].join('\n'),
  };
}

/** The report of the demo: one HTML document that needs nothing else. */
export function demoReport(findings: DemoFindings): string {
  const { verdicts, leaderboard, race, profiles, adapter, version, settings, seconds } = findings;
  return page({
    title: 'The same networks under other backward rules: which gradient?',
    subtitle:
      'The forward pass stays the same; only the backward rule changes. Two experiments: an attack on ' +
      `${leaderboard.source}, and the training of another network, an ${raceSettings.model.toUpperCase()}.`,
    sections: [
      { title: 'What was found', body: verdictList(verdicts) },
      leaderboardSection(leaderboard),
      imageSection(leaderboard),
      trainingSection(race),
      ownRuleSection(leaderboard),
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
    footer: pageFooter('demo', `${seconds.toFixed(0)} s in all`),
  });
}
