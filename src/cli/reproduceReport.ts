import { summaryOf } from '../experiments/types.js';
import type { Experiment, ExperimentResult, ResultTable, Statement } from '../experiments/types.js';
import type { Curves, HeatTable } from '../experiments/types.js';
import {
  facts,
  figures,
  heatMap,
  htmlTable,
  lineChart,
  machineFacts,
  page,
  pageFooter,
  paragraph,
  percentAxis,
  picture,
  ruleColor,
} from '../report/index.js';
import { escapeHtml } from '../report/index.js';
import { heading } from '../report/index.js';
import type { Figure, Line } from '../report/index.js';
import type { AdapterInfo } from '../runtime/adapter.js';
import { duration } from './progress.js';
import type { IndexEntry } from './reproduceIndex.js';

/** One experiment that was run. */
export interface Reproduced {
  readonly experiment: Experiment;
  readonly result: ExperimentResult;
  readonly seconds: number;
}

/** What all reports of a run share. */
export interface ReportFrame {
  readonly adapter: AdapterInfo;
  readonly version: string;
  /** Options in words. */
  readonly options: readonly (readonly [string, string])[];
}

const verdictWords: Readonly<Record<Statement['verdict'], string>> = {
  holds: 'holds',
  fails: 'does not hold',
  open: 'open',
  note: 'note',
};

function chart(curves: Curves): Figure {
  const { x, y } = curves;
  return lineChart({
    title: curves.title,
    x: {
      title: x.title,
      ...(x.log === true && { scale: 'log' as const }),
      ...(x.whole !== undefined && { whole: x.whole }),
      ...(x.names !== undefined && { names: x.names }),
    },
    y: y.share === true ? percentAxis(y.title) : { title: y.title, ...(y.log === true && { scale: 'log' as const }) },
    lines: colored(curves),
  });
}

/** Shares as colored cells with their percentage. */
const heat = (map: HeatTable): Figure =>
  heatMap({ ...map, min: 0, max: 1, label: (share) => `${Math.round(100 * share)} %` });

function colored({ lines }: Curves): Line[] {
  let index = 0;
  return lines.map(({ name, rule, points, band, dashed }) => ({
    name,
    // Further variants of a rule get colors of their own.
    color: lines.length > 2 && !/^(bp|linbp)$/.test(rule) ? ruleColor('other', index++) : ruleColor(rule),
    points,
    ...(band !== undefined && { band }),
    ...(dashed !== undefined && { dashed }),
  }));
}

/** The curves of an experiment that are meant for other pages, as one SVG file; undefined where it has none. */
export function experimentPicture({ experiment, result }: Reproduced): string | undefined {
  const charts = result.curves
    .filter((curves) => curves.pictured === true && curves.lines.some((line) => line.points.length > 0))
    .map((curves) => ({ caption: curves.title, svg: chart(curves).svg, keys: colored(curves) }));
  return charts.length === 0 ? undefined : picture(charts, summaryOf(experiment, result));
}

const tableHtml = ({ title, columns, rows }: ResultTable): string =>
  heading(title) +
  (rows.length === 0
    ? paragraph('None in this run.')
    : htmlTable(
        columns.map((column, index) => ({
          title: column,
          value: (row: readonly string[]) => row[index] ?? '',
          number: index > 0 && rows.every((row) => /^$|^[-+\d]|^(not|NaN|-?Infinity)/.test(row[index] ?? '')),
        })),
        rows,
      ));

const statementHtml = ({ verdict, text }: Statement): string =>
  `<li><b>${escapeHtml(verdictWords[verdict])}</b>: ${escapeHtml(text)}</li>`;

const statementsHtml = (statements: readonly Statement[]): string =>
  `<ul>${statements.map(statementHtml).join('\n')}</ul>`;

/** The page of one experiment. */
export function experimentReport(
  { experiment, result, seconds }: Reproduced,
  { adapter, version, options }: ReportFrame,
): string {
  const settings: ResultTable = {
    title: 'Settings',
    columns: ['setting', 'here', 'official code'],
    rows: result.settings.map(({ name, ours, official }) => [name, ours, official]),
  };
  const columns = settings.columns.map((title, index) => ({
    title,
    value: (row: readonly string[]) => row[index]!,
    prose: index > 0,
  }));
  const { maps = [] } = result;
  const drawn = result.curves.filter((curves) => curves.lines.some((line) => line.points.length > 0));
  return page({
    title: experiment.name,
    subtitle: summaryOf(experiment, result),
    keyFigures: [],
    sections: [
      { title: 'What was found', body: statementsHtml(result.statements) },
      ...(drawn.length + maps.length === 0
        ? []
        : [
            {
              title: 'Curves',
              body:
                paragraph('Bands are 95 % intervals over seeds or images.') +
                figures([
                  ...drawn.map((curves) => ({ figure: chart(curves), caption: curves.title })),
                  ...maps.map((map) => ({ figure: heat(map), caption: map.title })),
                ]),
            },
          ]),
      { title: 'Results', body: result.tables.map(tableHtml).join('\n') },
      { title: 'Settings', body: htmlTable(columns, settings.rows) + facts(options) },
      { title: 'Machine', body: facts(machineFacts(adapter, version)) },
    ],
    footer: pageFooter(`reproduce ${experiment.name}`, duration(seconds)),
  });
}

/** The page that links the reports, those of earlier runs into the same folder among them. */
export function indexReport(
  entries: readonly IndexEntry[],
  { adapter, version }: Omit<ReportFrame, 'options'>,
): string {
  const sections = entries.map(({ name, summary, seconds, options, statements }) => ({
    title: name,
    body:
      paragraph(`${summary} (${[...options.map((words) => words.join(' ')), duration(seconds)].join(', ')})`) +
      `<p><a href="${escapeHtml(name)}.html">Report</a></p>` +
      statementsHtml(statements),
  }));
  return page({
    title: 'Experiments of the LinBP papers',
    subtitle: 'BP against LinBP: what holds, what does not, and what the data leave open',
    sections: [...sections, { title: 'Machine of the last run', body: facts(machineFacts(adapter, version)) }],
    footer: pageFooter('reproduce'),
  });
}
