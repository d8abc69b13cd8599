import { LinbpError } from '../errors.js';

/** Workgroups of a dispatch along its three axes. */
export type Grid = readonly [number, number, number];

const entry = /(@compute @workgroup_size\(([^)]*)\)\s*fn main\()([^{]*)(\)\s*\{\n?)/;
const place = /@builtin\((workgroup_id|global_invocation_id)\) (\w+): vec3u/;

/**
 * A shader and a grid of workgroups of which no axis is longer than `most`: the same where none was. Otherwise
 * workgroups are numbered, along x first, and the numbers laid out in rows of `most`; the shader finds its place in the
 * grid that it was written for from its number. So kernels need not know how long an axis may be.
 *
 * @throws LinbpError `limit-exceeded` where a grid has more workgroups than numbers
 */
export function foldWorkgroups(
  name: string,
  code: string,
  workgroups: Grid,
  most: number,
): { readonly code: string; readonly workgroups: Grid } {
  if (workgroups.every((count) => count <= most)) return { code, workgroups };
  const [x, y, z] = workgroups;
  const rows = Math.ceil((x * y * z) / most);
  const total = x * y * z;
  const folded: Grid = [most, Math.min(rows, most), Math.ceil(rows / most)];
  if (total >= 2 ** 32 || folded[2] > most)
    throw new LinbpError('limit-exceeded', `${name} needs ${workgroups.join(' x ')} workgroups, more than a grid has`, {
      field: name,
    });
  const found = entry.exec(code);
  const builtin = found === null ? null : place.exec(found[3]!);
  if (found === null || builtin === null)
    throw new LinbpError('internal', `${name} has no place in a grid that could be folded`, { field: name });
  const [, kind, variable] = builtin;
  const given = `${variable}Folded`;
  const [width, height, depth] = [...found[2]!.split(',').map((size) => size.trim()), '1u', '1u'];
  const size = `vec3u(${width}, ${height}, ${depth})`;
  const own = kind === 'workgroup_id' ? given : `(${given} / ${size})`;
  const whole = `vec3u(${variable}Number % ${x}u, ${variable}Number / ${x}u % ${y}u, ${variable}Number / ${x * y}u)`;
  const lines = [
    `  let ${variable}Row = ${own}.y + ${own}.z * ${folded[1]}u;`,
    `  let ${variable}Number = ${variable}Row * ${most}u + ${own}.x;`,
    `  if (${variable}Number >= ${total}u) { return; }`,
    kind === 'workgroup_id'
      ? `  let ${variable} = ${whole};`
      : `  let ${variable} = ${whole} * ${size} + ${given} % ${size};`,
  ];
  const parameters = found[3]!.replace(place, `@builtin(${kind}) ${given}: vec3u`);
  const head = `${found[1]}${parameters}${found[4]!.trimEnd()}\n${lines.join('\n')}\n`;
  return {
    code: code.slice(0, found.index) + head + code.slice(found.index + found[0].length),
    workgroups: folded,
  };
}

const parameters = /(struct Params \{[^}]*?),?(\s*\})/;

/** One of the parts of a grid: its workgroups, and how many before it along the axis that is cut. */
export interface GridPart {
  readonly workgroups: Grid;
  readonly first: number;
}

/**
 * A shader whose grid is dispatched in up to `parts` parts, one after the other: each workgroup finds its place from
 * one word more at the end of the parameters, so that all parts are one pipeline and results keep their bits. The
 * longest axis is cut. Returns undefined for a shader that takes no such word or no place in a grid.
 */
export function cutWorkgroups(
  code: string,
  workgroups: Grid,
  parts: number,
): { readonly code: string; readonly parts: readonly GridPart[] } | undefined {
  const axis = workgroups.reduce((longest, count, at) => (count >= workgroups[longest]! ? at : longest), 0);
  const length = Math.ceil(workgroups[axis]! / parts);
  if (length >= workgroups[axis]!) return undefined;
  const found = entry.exec(code);
  const builtin = found === null ? null : place.exec(found[3]!);
  if (found === null || builtin === null || !parameters.test(code)) return undefined;
  const [, kind, variable] = builtin;
  const given = `${variable}Part`;
  const size = kind === 'workgroup_id' ? '' : ` * ${found[2]!.split(',')[axis]?.trim() ?? '1u'}`;
  const before = [0, 1, 2].map((at) => (at === axis ? `p.firstWorkgroup${size}` : '0u')).join(', ');
  const head =
    found[1]! +
    found[3]!.replace(place, `@builtin(${kind}) ${given}: vec3u`) +
    `${found[4]!.trimEnd()}\n  let ${variable} = ${given} + vec3u(${before});\n`;
  return {
    code: (code.slice(0, found.index) + head + code.slice(found.index + found[0].length)).replace(
      parameters,
      '$1, firstWorkgroup: u32$2',
    ),
    parts: Array.from({ length: Math.ceil(workgroups[axis]! / length) }, (_, index) => {
      const first = index * length;
      const grid: [number, number, number] = [...workgroups];
      grid[axis] = Math.min(length, workgroups[axis]! - first);
      return { workgroups: grid, first };
    }),
  };
}
