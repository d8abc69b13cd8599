import {
  facts,
  figures,
  htmlTable,
  lineChart,
  machineFacts,
  page,
  pageFooter,
  palette,
  percentAxis,
  ruleName,
  verdictList,
} from '../report/index.js';
import type { CaptionedFigure, Line } from '../report/index.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import { bestEpoch } from '../train/best.js';
import type { Evaluated } from '../experiments/sweep.js';
import type { EpochResult } from '../train/progress.js';
import { packageVersion } from '../version.js';
import { counted } from '../quote.js';
import { percent } from './common.js';
import { settingFacts } from './settingFacts.js';

/** What a training run gave, for {@link trainReport}. */
export interface TrainFindings {
  readonly model: string;
  readonly dataset: string;
  readonly rule: string;
  readonly history: readonly EpochResult[];
  /** What the images besides those trained on are; `test` unless given. */
  readonly evaluated?: Evaluated;
  /** Step and loss before its update, as far as this call trained. */
  readonly losses: readonly (readonly [step: number, loss: number])[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly adapter: AdapterInfo | undefined;
}

/** Points of the curve of steps at most: neighbors are averaged beyond. */
const mostPoints = 600;

/** What a run gave, in sentences. */
export function trainSentences({ model, dataset, rule, history, evaluated = 'test' }: TrainFindings): string[] {
  const last = history.at(-1);
  if (last === undefined) return [`${model} was not trained for a whole epoch.`];
  const epochs = counted(history.length, 'epoch');
  const trained =
    `${model} trained ${epochs} on ${dataset} with ` + `${ruleName(rule)}: training loss ${last.trainLoss.toFixed(4)}`;
  if (last.testAccuracy === undefined) return [`${trained}; there were no test images.`];
  const best = bestEpoch(history);
  const sentence = `${trained}, ${evaluated} accuracy ${percent(last.testAccuracy)}.`;
  if (best === history.length)
    return [sentence, `The last epoch has the lowest ${evaluated} loss: more epochs may still help.`];
  return [
    sentence,
    `Epoch ${best} has the lowest ${evaluated} loss ` +
      `(${history[best - 1]!.testLoss!.toFixed(4)}); the ${evaluated} loss has risen since.`,
  ];
}

function thinned(points: TrainFindings['losses']): [number, number][] {
  const group = Math.max(1, Math.ceil(points.length / mostPoints));
  return Array.from({ length: Math.ceil(points.length / group) }, (_, i) => {
    const part = points.slice(i * group, (i + 1) * group);
    const mean = (of: 0 | 1): number => part.reduce((sum, point) => sum + point[of], 0) / part.length;
    return [mean(0), mean(1)];
  });
}

function curves({ history, losses, evaluated = 'test' }: TrainFindings): CaptionedFigure[] {
  const line = (name: string, color: Line['color'], of: (epoch: EpochResult) => number | undefined): Line => ({
    name,
    color,
    points: history.flatMap((epoch): [number, number][] => {
      const value = of(epoch);
      return value === undefined ? [] : [[epoch.epoch, value]];
    }),
  });
  const both = (training: Line, test: Line): Line[] => [training, ...(test.points.length > 0 ? [test] : [])];
  const x = { title: 'epoch', whole: true };
  const loss = both(
    line('training', palette.bp, ({ trainLoss }) => trainLoss),
    line(evaluated, palette.linbp, ({ testLoss }) => testLoss),
  );
  const accuracy = both(
    line('training', palette.bp, ({ trainAccuracy }) => trainAccuracy),
    line(evaluated, palette.linbp, ({ testAccuracy }) => testAccuracy),
  );
  const steps: Line = { name: 'loss of a step', color: palette.bp, points: thinned(losses), symbols: false };
  return [
    { figure: lineChart({ title: 'loss by epoch', x, y: { title: 'loss' }, lines: loss }), caption: 'Loss by epoch' },
    {
      figure: lineChart({ title: 'accuracy by epoch', x, y: percentAxis('accuracy'), lines: accuracy }),
      caption: 'Accuracy by epoch',
    },
    ...(losses.length < 2
      ? []
      : [
          {
            figure: lineChart({
              title: 'loss by step',
              x: { title: 'step', whole: true },
              y: { title: 'loss' },
              lines: [steps],
            }),
            caption: 'Training loss of every step, before its update',
          },
        ]),
  ];
}

function epochTable({ history, evaluated = 'test' }: TrainFindings): string {
  const share = (value: number | undefined): string => (value === undefined ? '–' : (100 * value).toFixed(2));
  return htmlTable<EpochResult>(
    [
      { title: 'epoch', value: ({ epoch }) => String(epoch), number: true },
      { title: 'training loss', value: ({ trainLoss }) => trainLoss.toFixed(4), number: true },
      { title: `${evaluated} loss`, value: ({ testLoss }) => testLoss?.toFixed(4) ?? '–', number: true },
      { title: 'training accuracy, %', value: ({ trainAccuracy }) => share(trainAccuracy), number: true },
      { title: `${evaluated} accuracy, %`, value: ({ testAccuracy }) => share(testAccuracy), number: true },
      { title: 'seconds', value: ({ seconds }) => seconds.toFixed(seconds < 1 ? 2 : 1), number: true },
    ],
    history,
  );
}

/** The report of a training run: verdict, curves, then every epoch. */
export function trainReport(findings: TrainFindings): string {
  const { model, dataset, rule, history, settings, adapter } = findings;
  return page({
    title: `Training ${model}`,
    subtitle: `on ${dataset}, backward rule ${ruleName(rule)}`,
    sections: [
      { title: 'What was found', body: verdictList(trainSentences(findings)) },
      ...(history.length === 0 ? [] : [{ title: 'Curves', body: figures(curves(findings)) }]),
      { title: 'Every epoch', body: epochTable(findings) },
      {
        title: 'Machine and settings',
        body:
          (adapter === undefined ? '' : facts(machineFacts(adapter, packageVersion()))) + facts(settingFacts(settings)),
      },
    ],
    footer: pageFooter('train'),
  });
}
