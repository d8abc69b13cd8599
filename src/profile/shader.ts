import { check } from '../errors.js';
import { problemKey } from '../kernels/choice.js';
import type { CompiledDispatch, Program } from '../program/program.js';
import { choiceName } from '../tune/table.js';

/** Module constants of a shader, such as its tile sizes. */
function constantsOf(code: string): Map<string, string> {
  return new Map([...code.matchAll(/^const (\w+)(?: *: *\w+)? = ([^;]+);/gm)].map(([, name, value]) => [name!, value!]));
}

/** Words that the arrays of an invocation take, which is what most limits how many invocations a GPU keeps in flight. */
function registersOf(code: string, constants: ReadonlyMap<string, string>): string {
  const size = (text: string): number =>
    text.split(/([+-])/).reduce<[number, number]>(
      ([sum, sign], part) => {
        const word = part.trim();
        if (word === '+' || word === '-') return [sum, word === '+' ? 1 : -1];
        return [sum + sign * Number((constants.get(word) ?? word).replace(/u$/, '')), 1];
      },
      [0, 1],
    )[0];
  const count = (type: string): number => {
    const inner = /^array<(.*), *([^,<>]+)>$/.exec(type.trim());
    return inner === null ? 1 : size(inner[2]!) * count(inner[1]!);
  };
  const aliases = new Map([...code.matchAll(/^alias (\w+) = (array<.*>);/gm)].map(([, name, type]) => [name!, type!]));
  const arrays = [...code.matchAll(/^ +var (\w+): ([^;=]+);/gm)]
    .map(([, name, type]) => ({ name: name!, type: aliases.get(type!) ?? type! }))
    .filter(({ type }) => type.startsWith('array<'))
    .map(({ name, type }) => ({ name, words: count(type) }));
  const total = arrays.reduce((sum, { words }) => sum + words, 0);
  return total === 0 ? 'no arrays' : `${total} words of arrays an invocation: ${arrays.map(({ name, words }) => `${name} ${words}`).join(', ')}`;
}

/** Whether a kernel with its variant is the one that `name` says, with or without the variant. */
export const fitsKernel = (kernel: string, name: string): boolean => kernel === name || kernel.startsWith(`${name} `);

/** Kernels of a program by name and variant, with the dispatches that use each. */
export function kernelsOf(program: Program): Map<string, CompiledDispatch[]> {
  const found = new Map<string, CompiledDispatch[]>();
  for (const dispatch of program.dispatches) {
    const name = `${dispatch.source.kernel} ${dispatch.source.variant}`.trim();
    const list = found.get(name);
    if (list === undefined) found.set(name, [dispatch]);
    else list.push(dispatch);
  }
  return found;
}

/**
 * Everything about the kernels of a program that `name` fits (a kernel such as `gemm/conv`, with or without its variant): where it
 * runs, its constants, what bounds its occupancy, and the linked WGSL with line numbers. Several variants follow each other.
 *
 * Throws `bad-argument`, listing the kernels, when none fits.
 */
export function describeShader(program: Program, name: string): string {
  const kernels = kernelsOf(program);
  const fitting = [...kernels].filter(([kernel]) => fitsKernel(kernel, name));
  check(fitting.length > 0, 'bad-argument', `no kernel "${name}" runs here; there are ${[...kernels.keys()].join(', ')}`, 'shader');
  const { limits } = program.device;
  const parts = fitting.map(([kernel, dispatches]) => {
    const { source } = dispatches[0]!;
    const constants = constantsOf(source.code);
    const size = (/@workgroup_size\(([^)]*)\)/.exec(source.code)?.[1] ?? 'unknown')
      .split(',')
      .map((part) => constants.get(part.trim()) ?? part.trim())
      .join(' x ');
    const shared = [...source.code.matchAll(/^var<workgroup> (\w+) *: *([^;]+);/gm)].map(([, variable, type]) => `${variable}: ${type}`);
    const places = dispatches.map((dispatch) => {
      const { anchor } = dispatch.source.group;
      return `  ${anchor.layer || '(no layer)'}, ${anchor.direction}: ${dispatch.source.workgroups.join(' x ')} workgroups`;
    });
    const lines = source.code.trimEnd().split('\n');
    return [
      kernel,
      ...places,
      `constants       ${[...constants].map(([constant, value]) => `${constant} = ${value}`).join(', ') || 'none'}`,
      `registers       ${registersOf(source.code, constants)}`,
      `workgroup size  ${size} of at most ${limits.maxComputeInvocationsPerWorkgroup} invocations`,
      `shared memory   ${shared.join('; ') || 'none'}; at most ${limits.maxComputeWorkgroupStorageSize} bytes`,
      `storage buffers ${source.operands.length} of at most ${limits.maxStorageBuffersPerShaderStage}: ${source.operands.map(({ name: operand, access }) => `${operand} (${access})`).join(', ')}`,
      ...(source.tuning === undefined
        ? ['candidates      none: this kernel has one form']
        : [`chosen          ${choiceName(source.tuning.choice)} for "${problemKey(source.tuning.problem)}"`]),
      '',
      ...lines.map((line, index) => `${String(index + 1).padStart(String(lines.length).length)}  ${line}`),
    ].join('\n');
  });
  return parts.join('\n\n');
}
