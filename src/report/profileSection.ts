import type { DispatchProfile, Profile } from '../profile/profile.js';
import { directionNames, profileSummary } from '../profile/table.js';
import { digits, durationText } from '../profile/textTable.js';
import type { StepTimes } from '../profile/turns.js';
import { figures, folded, htmlTable, paragraph } from './page.js';
import type { CaptionedFigure, HtmlColumn } from './page.js';
import { layerChart, memoryChart, rooflineChart, segmentRanges } from './profileCharts.js';
import type { PlannedProgram } from './profileCharts.js';
import { directionColor, ruleName } from './theme.js';

const micro = (line: string): string => line.replace(/\bus\b/g, 'µs');
/** {@link durationText} as it is written in HTML. */
export const shownDuration = (microseconds: number): string => micro(durationText(microseconds));

/** Every dispatch with its times and rates. */
export function dispatchTable(profile: Profile): string {
  const longest = Math.max(...profile.dispatches.map((dispatch) => dispatch.microseconds), 1e-9);
  const rules = profile.dispatches.some((dispatch) => dispatch.rule !== '');
  const columns: HtmlColumn<DispatchProfile>[] = [
    { title: '#', value: (d) => String(d.index), number: true },
    { title: 'layer', value: (d) => d.layer || '–' },
    {
      title: 'direction',
      value: (d) => directionNames[d.direction] ?? d.direction,
      dot: (d) => directionColor(d.direction).name,
    },
    { title: 'shader', value: (d) => d.kernel },
    { title: 'variant', value: (d) => d.variant },
    ...(rules ? [{ title: 'rule', value: (d: DispatchProfile) => d.rule || '–' }] : []),
    { title: 'workgroups', value: (d) => d.workgroups.join(' × '), number: true },
    { title: 'time, µs', value: (d) => d.microseconds.toFixed(1), number: true, bar: (d) => d.microseconds / longest },
    { title: 'gap, µs', value: (d) => d.gapMicroseconds.toFixed(1), number: true },
    { title: 'MFLOP', value: (d) => digits(d.flops / 1e6, 3), number: true },
    { title: 'KiB', value: (d) => digits(d.bytes / 1024, 3), number: true },
    { title: 'GFLOP/s', value: (d) => d.gflops.toFixed(2), number: true },
    { title: 'GB/s', value: (d) => d.gbps.toFixed(2), number: true },
    ...(profile.ceilings === undefined
      ? []
      : [
          {
            title: 'of peak, %',
            value: (d: DispatchProfile) => (100 * (d.ceilingShare ?? 0)).toFixed(1),
            number: true,
          },
        ]),
  ];
  return htmlTable(columns, profile.dispatches);
}

/** The memory plan of a whole program; where only a part of it was profiled, that part is shaded. */
function memoryFigure(program: PlannedProgram, segments: readonly string[]): CaptionedFigure {
  const ranges = segmentRanges(program.schedule, segments);
  const all = program.schedule.dispatches.length;
  const part = ranges.reduce((sum, { first, last }) => sum + last - first, 0) < all ? ranges : [];
  const places = part.map(({ first, last }) => `${first} to ${last - 1}`).join(', ');
  const shaded = part.length === 0 ? '' : `. Shaded: what was profiled, dispatches ${places} of ${all}`;
  return {
    figure: memoryChart(program, part),
    caption: `Memory plan: which bytes are in use from which dispatch to which${shaded}`,
  };
}

/**
 * A profile as HTML: charts, with the memory plan where its program is given, the table of all dispatches, and what
 * the times add up to.
 */
export function profileBody(
  profile: Profile,
  program?: PlannedProgram,
  options: { readonly folded?: boolean } = {},
): string {
  const list: CaptionedFigure[] = [{ figure: layerChart(profile), caption: 'Time by layer and direction' }];
  if (profile.ceilings !== undefined)
    list.push({
      figure: rooflineChart(profile, profile.ceilings),
      caption: 'Roofline: each dot a dispatch, larger ones take longer',
    });
  if (program !== undefined) list.push(memoryFigure(program, profile.segments));
  const table = dispatchTable(profile);
  return [
    figures(list),
    options.folded === true ? folded(`All ${profile.dispatches.length} dispatches`, table) : table,
    ...profileSummary(profile).map((line) => paragraph(micro(line))),
  ].join('\n');
}

/** Several profiles of the same work compared: totals, and what crosses from forward to backward. */
export function comparisonTable(profiles: readonly Profile[]): string {
  return htmlTable<Profile>(
    [
      { title: 'program', value: (p) => ruleName(p.label) },
      { title: 'dispatches', value: (p) => String(p.dispatches.length), number: true },
      { title: 'in dispatches, µs', value: (p) => p.passMicroseconds.toFixed(1), number: true },
      { title: 'in gaps, µs', value: (p) => p.gapMicroseconds.toFixed(1), number: true },
      { title: 'last end − first begin, µs', value: (p) => p.spanMicroseconds.toFixed(1), number: true },
      { title: 'unprofiled wall, µs', value: (p) => p.wallMicroseconds.toFixed(1), number: true },
      { title: 'planned, KiB', value: (p) => (p.planBytes / 1024).toFixed(1), number: true },
      { title: 'saved for backward, KiB', value: (p) => (p.savedForBackwardBytes / 1024).toFixed(1), number: true },
    ],
    profiles,
  );
}

/** Whole steps of several programs that took turns, compared with the first. */
export function turnsTable(times: readonly StepTimes[]): string {
  return htmlTable<StepTimes>(
    [
      { title: 'whole steps in turns', value: (t) => ruleName(t.label) },
      { title: 'step', value: (t) => shownDuration(t.microseconds), number: true },
      { title: 'shortest', value: (t) => shownDuration(t.minMicroseconds), number: true },
      { title: `time over ${ruleName(times[0]?.label ?? '')}`, value: (t) => t.ratio.toFixed(3), number: true },
      { title: 'smallest', value: (t) => t.minRatio.toFixed(3), number: true },
      { title: 'largest', value: (t) => t.maxRatio.toFixed(3), number: true },
      { title: 'planned, KiB', value: (t) => (t.planBytes / 1024).toFixed(1), number: true },
      { title: 'saved for backward, KiB', value: (t) => (t.savedForBackwardBytes / 1024).toFixed(1), number: true },
    ],
    times,
  );
}

/** What profiles say, in sentences: how long the work takes, where most of it goes, and how rules compare. */
export function profileSentences(profiles: readonly Profile[], turns: readonly StepTimes[], work: string): string[] {
  const [first] = profiles;
  if (first === undefined) return [];
  const [most] = [...first.byLayer].sort((a, b) => b.microseconds - a.microseconds);
  const where =
    most === undefined ? '' : `; ${most.name} takes ${Math.round(100 * most.share)} % of the time in its dispatches`;
  const words = `${work[0]!.toUpperCase()}${work.slice(1)}`;
  const compared = turns.slice(1).flatMap(({ label, ratio, minRatio, maxRatio }) => {
    // The first once more, as a control of the method.
    if (label.endsWith(' again (control)')) return [];
    const range = `${minRatio.toFixed(2)} to ${maxRatio.toFixed(2)}`;
    const against = `${ruleName(label)} takes ${ratio.toFixed(2)} times as long as ${ruleName(turns[0]!.label)}`;
    const unclear = minRatio <= 1 && maxRatio >= 1 ? ', so no clear difference' : '';
    return [`In turns, a step under ${against} (${range} over rounds${unclear}).`];
  });
  return [
    `${words} under ${ruleName(first.label)} takes ${shownDuration(first.wallMicroseconds)}${where}.`,
    ...compared,
  ];
}
