import type { FieldKind } from '../graph/fields.js';
import { numbersOfField } from '../graph/fields.js';
import type { Reference } from './types.js';

/** What a field is at a place of a sample. `number` gives the sample's numbers. */
interface At {
  readonly number: (k: number) => number;
  readonly plane: number;
  readonly row: number;
  readonly column: number;
  readonly height: number;
  readonly width: number;
}

const choice = (u: number, count: number): number => Math.min(Math.floor(u * count), count - 1);

function roundEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

interface Piece {
  readonly to: number;
  readonly origin: number;
  readonly length: number;
  readonly place: number;
}

function pieceAt(number: At['number'], blocks: number, widths: number, keys: number, at: number, total: number): Piece {
  const all = Array.from({ length: blocks }, (_, k) => k);
  const shares = all.map((k) => 2 - number(widths + k));
  const sum = shares.reduce((a, b) => a + b, 0);
  const lengths = shares.map((share) => roundEven((share * total) / sum));
  const longest = lengths.indexOf(Math.max(...lengths));
  lengths[longest]! += total - lengths.reduce((a, b) => a + b, 0);
  let origin = 0;
  for (const k of all) {
    const own = number(keys + k);
    const before = all.filter((other) => number(keys + other) < own || (number(keys + other) === own && other < k));
    const to = before.reduce((a, other) => a + lengths[other]!, 0);
    if (at >= to && at < to + lengths[k]!) return { to, origin, length: lengths[k]!, place: before.length };
    origin += lengths[k]!;
  }
  return { to: 0, origin: 0, length: total, place: 0 };
}

function strips({ number, plane, row, column, height, width }: At, [blocks, angle]: readonly number[]): number {
  const b = blocks!;
  const byRows = number(0) < 0.5;
  const [total, other] = byRows ? [height, width] : [width, height];
  const [along, across] = byRows ? [row, column] : [column, row];
  const strip = pieceAt(number, b, 1, 1 + b, along, total);
  const second = 1 + 3 * b + strip.place * b;
  const piece = pieceAt(number, b, second, second + b * b, across, other);
  const [middle, center] = [(strip.length - 1) / 2, (other - 1) / 2];
  const a = along - strip.to - middle;
  const c = across - piece.to + piece.origin - center;
  const turn = (2 * number(1 + 2 * b + strip.place) - 1) * angle!;
  const s = byRows ? Math.sin(turn) : -Math.sin(turn);
  const first = strip.origin + middle + Math.cos(turn) * a + s * c;
  const rest = center + Math.cos(turn) * c - s * a;
  const end = strip.origin + strip.length;
  return (byRows ? [first, rest, strip.origin, end, 0, other] : [rest, first, 0, other, strip.origin, end])[plane]!;
}

function blockAt(number: At['number'], blocks: number, cuts: number, at: number, total: number) {
  const ends: number[] = [];
  for (let k = 0; k < blocks - 1; k++) {
    let cut = 1 + choice(number(cuts + k), total - 1 - k);
    let place = 0;
    for (const [j, end] of ends.entries())
      if (cut >= end) {
        cut++;
        place = j + 1;
      }
    ends.splice(place, 0, cut);
  }
  const found = ends.filter((end) => at >= end).length;
  const first = ends[found - 1] ?? 0;
  return { first, length: (ends[found] ?? total) - first, index: found };
}

const rolled = (at: number, length: number, amount: number): number =>
  (at - Math.floor(amount * length) + length) % length;

function blocks(factors: boolean, { number, plane, row, column, height, width }: At, [count]: readonly number[]) {
  const b = count!;
  const rows = blockAt(number, b, 0, row, height);
  const columns = blockAt(number, b, b - 1, column, width);
  const block = 2 * (b - 1) + rows.index * b + columns.index;
  const change = choice(number(block), 7);
  const amount = number(block + b * b);
  if (factors) return change === 5 ? amount : change === 6 ? -1 : 1;
  let [y, x] = [row - rows.first, column - columns.first];
  if (change === 0) y = rolled(y, rows.length, amount);
  if (change === 1) x = rolled(x, columns.length, amount);
  if (change === 2 || change === 4) y = rows.length - 1 - y;
  if (change === 3 || change === 4) x = columns.length - 1 - x;
  return plane === 0 ? rows.first + y : columns.first + x;
}

function resize({ number, row, column, height, width }: At, [, axis]: readonly number[]): number {
  const length = width + choice(number(0), height - width + 1);
  const inside = row - choice(number(1 + axis!), height - length + 1);
  if (inside < 0 || inside >= length) return 0;
  const source = Math.max(((inside + 0.5) * width) / length - 0.5, 0);
  const low = Math.min(Math.floor(source), width - 1);
  const high = Math.min(low + 1, width - 1);
  return (column === low ? 1 - (source - low) : 0) + (column === high ? source - low : 0);
}

function warp({ number, plane, row, column, height, width }: At, values: readonly number[]): number {
  const [halfHeight, halfWidth] = [(height - 1) / 2, (width - 1) / 2];
  const [y, x] = [row / halfHeight - 1, column / halfWidth - 1];
  let sum = values[9]! + values[10]! * y + values[11]! * x;
  for (let k = 0; k < 9; k++) {
    const square = (y - Math.floor(k / 3) + 1) ** 2 + (x - (k % 3) + 1) ** 2;
    sum += values[k]! * square * Math.log(square + 1e-9);
  }
  return plane === 0 ? row + sum * number(0) * halfHeight : column + sum * number(1) * halfWidth;
}

const formulas: Record<Exclude<FieldKind, 'index'>, (at: At, values: readonly number[]) => number> = {
  strips,
  blocks: (at, values) => blocks(false, at, values),
  blockFactors: (at, values) => blocks(true, at, values),
  resize,
  shift: ({ number, plane, row, column }, [reach]) =>
    (plane === 0 ? row : column) + reach! - choice(number(plane), 2 * reach! + 1),
  warp,
};

export const sampleField: Reference<'sampleField'> = (node, [numbers]) => {
  const { kind, planes, size, values } = node.attrs;
  if (kind === 'index') return [numbers!.map((value) => Math.floor(Math.max(value, 0)))];
  const [height, width] = size;
  const count = numbersOfField(kind, values);
  const batch = node.inputs[0]!.shape[0]!;
  const y = new Float64Array(batch * planes * height * width);
  for (let i = 0; i < y.length; i++) {
    const at = Math.floor(i / (height * width));
    const first = Math.floor(at / planes) * count;
    const place = { plane: at % planes, row: Math.floor(i / width) % height, column: i % width, height, width };
    y[i] = formulas[kind]({ number: (k) => numbers![first + k]!, ...place }, values);
  }
  return [y];
};
