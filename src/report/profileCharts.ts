import type { Direction, Tensor } from '../graph/types.js';
import type { Plan } from '../plan/plan.js';
import { rootOf } from '../plan/schedule.js';
import type { DispatchSchedule } from '../plan/schedule.js';
import type { Ceilings } from '../profile/ceilings.js';
import type { Profile } from '../profile/profile.js';
import { directionNames } from '../profile/table.js';
import { bytesText, digits } from '../profile/textTable.js';
import { axis, barChart, frame, logRange, legend, text } from './charts.js';
import type { Figure } from './charts.js';
import { css, renderSvg } from './svg.js';
import { directionColor, palette, ruleColor, ruleName } from './theme.js';

/** Pictures that the page's script does not draw again stand beside two others, and keep legible letters there. */
const stillSize = { width: 400, height: 270 };

const directionsOf = (profile: Profile): string[] => [
  ...new Set(profile.dispatches.map((dispatch) => dispatch.direction)),
];

/** Time by layer, stacked by direction: where a step spends its time. Layers in the order of the network. */
export function layerChart(profile: Profile, title = 'time by layer'): Figure {
  const layers = profile.byLayer.map((total) => total.name);
  const spent = (layer: string, direction: string): number =>
    profile.dispatches
      .filter((dispatch) => (dispatch.layer || '(none)') === layer && dispatch.direction === direction)
      .reduce((sum, dispatch) => sum + dispatch.microseconds, 0);
  return barChart({
    title,
    categories: layers,
    x: { title: 'microseconds, medians' },
    stacked: true,
    label: (value) => `${digits(value, 3)} µs`,
    series: directionsOf(profile).map((direction) => ({
      name: directionNames[direction] ?? direction,
      color: directionColor(direction),
      values: layers.map((layer) => spent(layer, direction)),
    })),
  });
}

/** Time by layer of several rules side by side. */
export function ruleLayerChart(profiles: readonly Profile[], title = 'time by layer and rule'): Figure {
  const layers = [...new Set(profiles.flatMap((profile) => profile.byLayer.map((total) => total.name)))];
  return barChart({
    title,
    categories: layers,
    x: { title: 'microseconds, medians' },
    label: (value) => `${digits(value, 3)} µs`,
    series: profiles.map((profile, index) => ({
      name: ruleName(profile.label),
      color: ruleColor(profile.label, index),
      values: layers.map((layer) => profile.byLayer.find((total) => total.name === layer)?.microseconds ?? 0),
    })),
  });
}

const directionLegend = (profile: Profile) =>
  legend(
    directionsOf(profile).map((direction) => ({
      name: directionNames[direction] ?? direction,
      color: directionColor(direction),
      square: true,
    })),
  );

/** A text in the chart. */
const note = (name: string, at: number[], position: string): object => ({
  type: 'scatter',
  data: [at],
  symbolSize: 0,
  silent: true,
  label: { show: true, formatter: name, position, ...text(11) },
});

/**
 * Rate of each dispatch against its arithmetic intensity, below the roof of the measured peaks. Larger dots take
 * longer.
 */
export function rooflineChart(profile: Profile, ceilings: Ceilings, title = 'roofline'): Figure {
  const points = profile.dispatches.filter(
    (dispatch) => dispatch.flops > 0 && dispatch.bytes > 0 && dispatch.microseconds > 0,
  );
  const intensity = points.map((dispatch) => dispatch.flops / dispatch.bytes);
  const ridge = ceilings.matmulGflops / ceilings.copyGbps;
  const x = logRange([ridge / 3, 3 * ridge, ...intensity]);
  const y = logRange([ceilings.matmulGflops / 100, 2 * ceilings.matmulGflops, ...points.map(({ gflops }) => gflops)]);
  const [left, right, bottom] = [x.min, x.max, y.min];
  const longest = Math.max(...points.map((dispatch) => dispatch.microseconds), 1);
  const roof = [
    [Math.max(left, bottom / ceilings.copyGbps), Math.max(bottom, left * ceilings.copyGbps)],
    [ridge, ceilings.matmulGflops],
    [right, ceilings.matmulGflops],
  ];
  // A third of the way up the slope, where its name stands below it.
  const onSlope = [0, 1].map((at) => roof[0]![at]! ** (2 / 3) * roof[1]![at]! ** (1 / 3));
  const svg = renderSvg(
    {
      grid: { ...frame, left: 56 },
      xAxis: { ...axis({ title: 'FLOP per byte', ...x }, 'x') },
      yAxis: { ...axis({ title: 'GFLOP/s', ...y }, 'y') },
      series: [
        {
          type: 'line',
          data: roof,
          symbol: 'none',
          silent: true,
          emphasis: { disabled: true },
          lineStyle: { color: css(palette.muted), width: 1.5 },
        },
        note(
          `best matmul ${digits(ceilings.matmulGflops, 2)} GFLOP/s`,
          [right, ceilings.matmulGflops],
          'insideBottomRight',
        ),
        note(`copies ${digits(ceilings.copyGbps, 2)} GB/s`, onSlope, 'right'),
        ...directionsOf(profile).map((direction) => ({
          type: 'scatter',
          silent: true,
          emphasis: { disabled: true },
          itemStyle: { color: css(directionColor(direction)), opacity: 0.8 },
          data: points
            .filter((dispatch) => dispatch.direction === direction)
            .map((dispatch) => ({
              value: [dispatch.flops / dispatch.bytes, dispatch.gflops],
              symbolSize: 6 + 18 * Math.sqrt(dispatch.microseconds / longest),
            })),
        })),
      ],
    },
    stillSize,
    title,
  );
  return { svg, legend: directionLegend(profile) };
}

interface DrawApi {
  value(dimension: number): number;
  coord(point: readonly [number, number]): [number, number];
}

/** The rectangle between the corners that the first four numbers of an item state: left, bottom, right, top. */
function corners(api: DrawApi): { x: number; y: number; width: number; height: number } {
  const [left, bottom] = api.coord([api.value(0), api.value(1)]);
  const [right, top] = api.coord([api.value(2), api.value(3)]);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** What {@link memoryChart} draws; a `Program` is one. */
export interface PlannedProgram {
  readonly plan: Plan;
  readonly schedule: Pick<DispatchSchedule, 'dispatches'>;
}

/** Dispatches `first` to `last` - 1 of a program. */
export interface DispatchRange {
  readonly first: number;
  readonly last: number;
}

/** The dispatches of these segments as ranges, in running order. */
export function segmentRanges(
  { dispatches }: PlannedProgram['schedule'],
  segments: readonly string[],
): DispatchRange[] {
  const ranges: DispatchRange[] = [];
  for (const [index, { segment }] of dispatches.entries()) {
    if (!segments.includes(segment)) continue;
    const open = ranges.at(-1);
    if (open?.last === index) ranges[ranges.length - 1] = { ...open, last: index + 1 };
    else ranges.push({ first: index, last: index + 1 });
  }
  return ranges;
}

/** What the first dispatch to write each value computes for. */
function writers({ dispatches }: PlannedProgram['schedule']): Map<Tensor, Direction> {
  const found = new Map<Tensor, Direction>();
  for (const { operands, group } of dispatches) {
    for (const { tensor, access } of operands) {
      const root = rootOf(tensor);
      if (access !== 'read' && !found.has(root)) found.set(root, group.anchor.direction);
    }
  }
  return found;
}

/** A value of the plan: its dispatches, its place in KiB and its color. */
interface MemoryBlock {
  readonly first: number;
  readonly last: number;
  readonly from: number;
  readonly to: number;
  readonly color: ReturnType<typeof directionColor>;
}

const shadedSeries = (shaded: readonly DispatchRange[], height: number): object => ({
  type: 'custom',
  silent: true,
  z: 0,
  data: shaded.map(({ first, last }) => [first, 0, last, height]),
  encode: { x: [0, 2], y: [1, 3] },
  renderItem: (_: unknown, api: DrawApi) => ({
    type: 'rect',
    shape: corners(api),
    style: { fill: css(palette.shade) },
  }),
});

const blockSeries = (blocks: readonly MemoryBlock[]): object => ({
  type: 'custom',
  silent: true,
  data: blocks.map((block, index) => [block.first, block.from, block.last, block.to, index]),
  encode: { x: [0, 2], y: [1, 3] },
  renderItem: (_: unknown, api: DrawApi) => {
    const { x, y, width, height } = corners(api);
    const color = blocks[api.value(4)]!.color;
    const shape = { x: x + 0.5, y: y + 0.5, width: Math.max(1, width - 1), height: Math.max(0.6, height - 1) };
    return { type: 'rect', shape, style: { fill: css(color), opacity: 0.75 } };
  },
});

/**
 * The memory plan over time, which is all dispatches of the program: each value is a block from its first to its last
 * dispatch, at its place in its arena; arenas stand on each other. Blocks are colored by what wrote them, `shaded`
 * ranges of dispatches stand on a pale ground.
 */
export function memoryChart(
  { plan, schedule }: PlannedProgram,
  shaded: readonly DispatchRange[] = [],
  title = 'memory plan',
): Figure {
  const dispatches = schedule.dispatches.length;
  const bases: number[] = [];
  for (const [index] of plan.arenas.entries())
    bases.push(index === 0 ? 0 : bases[index - 1]! + plan.arenas[index - 1]!);
  const writtenFor = writers(schedule);
  const blocks = [...plan.placements].map(([tensor, place]) => {
    const life = plan.lifetimes.get(tensor)!;
    const from = (bases[place.arena]! + place.offset) / 1024;
    const color = directionColor(writtenFor.get(tensor) ?? 'data');
    return { first: life.first, last: life.last + 1, from, to: from + place.bytes / 1024, color };
  });
  const height = Math.max(1, Math.ceil(plan.bytes / 1024));
  const svg = renderSvg(
    {
      grid: { ...frame, left: 60 },
      xAxis: axis({ title: 'dispatch', min: 0, max: dispatches }, 'x'),
      yAxis: axis({ title: 'KiB', min: 0, max: height }, 'y', { showMaxLabel: false }),
      series: [
        shadedSeries(shaded, height),
        blockSeries(blocks),
        ...bases.slice(1).map((base) => ({
          type: 'line',
          silent: true,
          symbol: 'none',
          emphasis: { disabled: true },
          data: [
            [0, base / 1024],
            [dispatches, base / 1024],
          ],
          lineStyle: { color: css(palette.ink), width: 1, type: [2, 3] },
        })),
      ],
    },
    stillSize,
    `${title}, ${bytesText(plan.bytes)}`,
  );
  const present = [...new Set(blocks.map((block) => block.color))];
  const names = Object.entries(directionNames).filter(([direction]) => present.includes(directionColor(direction)));
  return {
    svg,
    legend: legend(names.map(([direction, name]) => ({ name, color: directionColor(direction), square: true }))),
  };
}
