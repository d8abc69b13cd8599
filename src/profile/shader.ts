import { check } from '../errors.js';
import type { CompiledDispatch, Program } from '../program/program.js';

/** Module constants of a shader, such as its tile sizes. */
function constantsOf(code: string): Map<string, string> {
  return new Map([...code.matchAll(/^const (\w+)(?: *: *\w+)? = ([^;]+);/gm)].map(([, name, value]) => [name!, value!]));
}

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
  const fitting = [...kernels].filter(([kernel]) => kernel === name || kernel.startsWith(`${name} `));
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
      `workgroup size  ${size} of at most ${limits.maxComputeInvocationsPerWorkgroup} invocations`,
      `shared memory   ${shared.join('; ') || 'none'}; at most ${limits.maxComputeWorkgroupStorageSize} bytes`,
      `storage buffers ${source.operands.length} of at most ${limits.maxStorageBuffersPerShaderStage}: ${source.operands.map(({ name: operand, access }) => `${operand} (${access})`).join(', ')}`,
      'candidates      the other variants listed for this kernel; the lowering chooses by shape and device',
      '',
      ...lines.map((line, index) => `${String(index + 1).padStart(String(lines.length).length)}  ${line}`),
    ].join('\n');
  });
  return parts.join('\n\n');
}
