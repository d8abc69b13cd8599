import { LinbpError } from '../errors.js';

type Grid = readonly [number, number, number];

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
