import { expectMembers } from '../arguments.js';
import type { DispatchProfile, Profile, ProfileTotal } from './profile.js';
import { bytesText, digits, durationText, textTable } from './textTable.js';
import type { TextColumn } from './textTable.js';

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Short names of directions, for tables. */
export const directionNames: Readonly<Record<string, string>> = {
  data: 'data',
  forward: 'forward',
  inputGradient: 'input gradient',
  weightGradient: 'weight gradient',
  update: 'update',
  attack: 'attack',
};

function dispatchColumns(profile: Profile): TextColumn<DispatchProfile>[] {
  const right = 'right' as const;
  const ceilings = profile.ceilings !== undefined;
  const several = profile.segments.length > 1;
  return [
    { title: '#', value: (d) => String(d.index), align: right },
    ...(several ? [{ title: 'segment', value: (d: DispatchProfile) => d.segment }] : []),
    { title: 'layer', value: (d) => d.layer || '-' },
    { title: 'direction', value: (d) => directionNames[d.direction] ?? d.direction, drop: 1 },
    { title: 'kernel', value: (d) => d.kernel },
    { title: 'variant', value: (d) => d.variant, drop: 7 },
    { title: 'rule', value: (d) => d.rule || '-', drop: 6 },
    { title: 'workgroups', value: (d) => d.workgroups.join('x'), align: right, drop: 5 },
    { title: 'us', value: (d) => d.microseconds.toFixed(1), align: right },
    { title: 'gap us', value: (d) => d.gapMicroseconds.toFixed(1), align: right, drop: 4 },
    {
      title: 'share',
      value: (d) => percent(profile.medianMicroseconds > 0 ? d.microseconds / profile.medianMicroseconds : 0),
      align: right,
    },
    { title: 'MFLOP', value: (d) => digits(d.flops / 1e6, 3), align: right, drop: 3 },
    { title: 'KiB', value: (d) => digits(d.bytes / 1024, 3), align: right, drop: 3 },
    { title: 'GFLOP/s', value: (d) => d.gflops.toFixed(2), align: right },
    { title: 'GB/s', value: (d) => d.gbps.toFixed(2), align: right, drop: 2 },
    ...(ceilings
      ? [{ title: 'of peak', value: (d: DispatchProfile) => percent(d.ceilingShare ?? 0), align: right }]
      : []),
  ];
}

function totalColumns(title: string): TextColumn<ProfileTotal>[] {
  return [
    { title, value: (total) => total.name },
    { title: 'dispatches', value: (total) => String(total.dispatches), align: 'right' },
    { title: 'us', value: (total) => total.microseconds.toFixed(1), align: 'right' },
    { title: 'share', value: (total) => percent(total.share), align: 'right' },
    {
      title: 'GFLOP/s',
      value: (total) => (total.microseconds > 0 ? total.flops / total.microseconds / 1e3 : 0).toFixed(2),
      align: 'right',
    },
    {
      title: 'GB/s',
      value: (total) => (total.microseconds > 0 ? total.bytes / total.microseconds / 1e3 : 0).toFixed(2),
      align: 'right',
    },
  ];
}

const profileMembers = { dispatches: 'list', segments: 'list', byLayer: 'list', wallMicroseconds: 'number' } as const;

/** How the times came about and what they add up to, one line each. */
export function profileSummary(profile: Profile): string[] {
  expectMembers(profile, 'profile', profileMembers);
  const {
    spanMicroseconds: span,
    passMicroseconds: pass,
    gapMicroseconds: gap,
    wallMicroseconds: wall,
    ceilings,
  } = profile;
  const lines =
    profile.method === 'timestamps'
      ? [
          `Times are GPU timestamps, medians of ${profile.repeats} ` +
            'runs, a pass per dispatch; the first run is not counted.',
          `Run of median length: dispatches ${pass.toFixed(3)} us + gaps ${gap.toFixed(3)} us = ` +
            `${(pass + gap).toFixed(3)} us; last end - first begin = ${span.toFixed(3)} us.`,
        ]
      : [
          'The device has no timestamp-query: times are differences of wall clock, each dispatch ' +
            'submitted and waited for alone. They are coarse and show no gaps.',
          `Sum of the dispatches of the run of median length: ${pass.toFixed(3)} us.`,
        ];
  lines.push(
    `Profiled ${durationText(span)} beside ${durationText(wall)} of wall clock unprofiled: encode ` +
      `${durationText(profile.encodeMicroseconds)}, submit ${durationText(profile.submitMicroseconds)}, ` +
      `wait ${durationText(profile.waitMicroseconds)}.`,
    `Pipelines compiled in ${durationText(profile.compileMicroseconds)}. Planned memory ` +
      `${bytesText(profile.planBytes)}, of which saved for the ` +
      `backward pass ${bytesText(profile.savedForBackwardBytes)}.`,
  );
  if (ceilings !== undefined) {
    lines.push(
      `Measured peaks: matmul ${ceilings.matmulGflops.toFixed(1)} GFLOP/s (${ceilings.matmul}), copies ` +
        `${ceilings.copyGbps.toFixed(1)} GB/s (${bytesText(ceilings.copyBytes)}, read + written).`,
    );
  }
  return lines;
}

/** A profile as aligned text: every dispatch, totals by layer, by kernel and by direction, and the sums. *
 * @param width columns of the terminal; tables leave out columns to fit. No limit unless given
 */
export function formatProfile(profile: Profile, width: number = Infinity): string {
  expectMembers(profile, 'profile', profileMembers);
  const title =
    `${profile.label === '' ? 'profile' : profile.label}: ` +
    `${profile.dispatches.length} dispatches of ${profile.segments.join(', ')}`;
  return [
    title,
    textTable(dispatchColumns(profile), profile.dispatches, width),
    textTable(totalColumns('layer'), profile.byLayer, width),
    textTable(totalColumns('kernel'), profile.byKernel, width),
    textTable(
      totalColumns('direction'),
      profile.byDirection.map((total) => ({ ...total, name: directionNames[total.name] ?? total.name })),
      width,
    ),
    profileSummary(profile).join('\n'),
  ].join('\n\n');
}
