/*
 * What the charting library calls to draw a row of an interval chart. It imports nothing, since the script of the page
 * draws with the same function.
 */

/** How the bars of one series look. */
export interface IntervalLook {
  /** Place of the series among those of a category, from 0, and how high each is, in pixels. */
  readonly slot: number;
  readonly bar: number;
  readonly gap: number;
  /** Room for the category's name above its bars, in pixels. */
  readonly head: number;
  readonly color: string;
  readonly ink: string;
  readonly muted: string;
  readonly surface: string;
  /** Written after each interval, by index of the datum. */
  readonly labels: readonly string[];
  /** Data before this index are reference marks. */
  readonly references: number;
}

/** The part of the library's interface that is used. */
interface DrawingApi {
  readonly value: (dimension: number) => number;
  readonly coord: (point: readonly [number, number]) => readonly [number, number];
  readonly size: (extent: readonly [number, number]) => readonly [number, number];
}

interface DrawingParams {
  readonly coordSys: { readonly x: number; readonly width: number };
  readonly dataIndex: number;
}

const line = (x1: number, y1: number, x2: number, y2: number, style: object): object => ({
  type: 'line',
  shape: { x1, y1, x2, y2 },
  style: { fill: null, ...style },
});

/** Draws the data `[value, low, high, category]` of one series: bars with intervals, or marks of a reference. */
export const intervalBar =
  (look: IntervalLook) =>
  ({ coordSys, dataIndex }: DrawingParams, api: DrawingApi): object => {
    const [value, low, high, category] = [api.value(0), api.value(1), api.value(2), api.value(3)];
    const { bar, color, ink, surface } = look;
    const edge = coordSys.x + coordSys.width;
    const place = (share: number): number => Math.min(edge, api.coord([share, category])[0]);
    const top = api.coord([0, category])[1] - api.size([0, 1])[1] / 2 + look.head + look.slot * (bar + look.gap);
    const middle = top + bar / 2;
    const [from, at, begin, end] = [coordSys.x, place(value), place(low), place(high)];
    const beyond = api.coord([value, category])[0] > edge + 0.5;
    const reference = dataIndex < look.references;
    const caps = bar / 2 - 2;
    const whisker = (style: object): object[] => [
      line(begin, middle, end, middle, style),
      ...[begin, end].map((x) => line(x, middle - caps, x, middle + caps, style)),
    ];
    const mark = reference
      ? [
          line(from, middle, at, middle, { stroke: color, lineWidth: 1.5, lineDash: [4, 4] }),
          {
            type: 'polygon',
            shape: {
              points: beyond
                ? [[edge + 2, middle], [edge - 6, middle - 4.5], [edge - 6, middle + 4.5]] // prettier-ignore
                : [[at, middle - 5], [at + 5, middle], [at, middle + 5], [at - 5, middle]], // prettier-ignore
            },
            style: { fill: color },
          },
        ]
      : [
          {
            type: 'rect',
            shape: { x: from, y: top, width: Math.max(0, at - from), height: bar },
            style: { fill: color },
          },
          ...whisker({ stroke: surface, lineWidth: 3.5 }),
          ...whisker({ stroke: ink, lineWidth: 1.25 }),
        ];
    const text = {
      type: 'text',
      x: (reference ? at : Math.max(at, end)) + 7,
      y: middle,
      style: {
        text: look.labels[dataIndex] ?? '',
        fill: look.muted,
        fontSize: 11,
        align: 'left',
        verticalAlign: 'middle',
      },
    };
    return { type: 'group', children: [...mark, text] };
  };

/** How the names of the categories look; each may have a note behind it. */
export interface NamesLook {
  readonly names: readonly (readonly [name: string, note: string])[];
  readonly ink: string;
  readonly muted: string;
}

/** Draws the names of the categories `[_, _, _, category]` above their bars. */
export const categoryNames =
  (look: NamesLook) =>
  ({ coordSys, dataIndex }: DrawingParams, api: DrawingApi): object => {
    const [name, note] = (look.names[dataIndex] ?? ['', '']).map((text) => text.replace(/[{}|]/g, ' '));
    const category = api.value(3);
    return {
      type: 'text',
      x: coordSys.x,
      y: api.coord([0, category])[1] - api.size([0, 1])[1] / 2 + 4,
      style: {
        text: `{name|${name}}${note === '' ? '' : `{note|  ${note}}`}`,
        align: 'left',
        verticalAlign: 'top',
        rich: {
          name: { fill: look.ink, fontSize: 12, fontWeight: 600 },
          note: { fill: look.muted, fontSize: 12 },
        },
      },
    };
  };
