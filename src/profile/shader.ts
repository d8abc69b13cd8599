import { expectProgram, expectText } from '../arguments.js';
import { LinbpError } from '../errors.js';
import { instead } from '../names.js';
import { quoted } from '../quote.js';
import { problemKey } from '../kernels/choice.js';
import type { CompiledDispatch, Program } from '../program/program.js';
import { choiceName } from '../choices/table.js';
import { constantsOf, shaderSizes, wholeNumber } from './shaderSizes.js';
import type { ShaderConstants, SizedVariable } from './shaderSizes.js';

/** A module constant as it is shown: whole numbers by their value, anything else as it is written. */
function constantText(written: string, constants: ShaderConstants): string {
  const value = wholeNumber(written, constants);
  return Number.isNaN(value) ? written : String(value);
}

const known = (value: number): string => (Number.isNaN(value) ? 'unknown' : String(value));

/** The sum of variables' sizes, in bytes or in what `unit` bytes make, and each of them. */
function sizesText(variables: readonly SizedVariable[], what: string, unit = 1): string {
  const total = variables.reduce((sum, { bytes }) => sum + bytes, 0) / unit;
  const each = variables.map(({ name, bytes }) => `${name} ${known(bytes / unit)}`).join(', ');
  return `${known(total)} ${what}${each === '' ? '' : `: ${each}`}`;
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
 * Everything about the kernels of a program that `name` fits (a kernel such as `gemm/conv`, with or without its
 * variant): where it runs, its constants, what bounds its occupancy, and the linked WGSL with line numbers. Several
 * variants follow each other.
 *
 * Throws `bad-argument`, listing the kernels, when none fits.
 */
export function describeShader(program: Program, name: string): string {
  expectProgram(program);
  expectText(name, 'name');
  const kernels = kernelsOf(program);
  const fitting = [...kernels].filter(([kernel]) => fitsKernel(kernel, name));
  if (fitting.length === 0) {
    const message = `no kernel ${quoted(name)} runs here${instead(name, { names: [...kernels.keys()] })}`;
    throw new LinbpError('bad-argument', message, { field: 'shader' });
  }
  const { limits } = program.device;
  const parts = fitting.map(([kernel, dispatches]) => {
    const { source } = dispatches[0]!;
    const constants = constantsOf(source.code);
    const { workgroup, shared, arrays } = shaderSizes(source.code);
    const invocations = workgroup[0] * workgroup[1] * workgroup[2];
    const places = dispatches.map((dispatch) => {
      const { anchor } = dispatch.source.group;
      return (
        `  ${anchor.layer || '(no layer)'}, ` +
        `${anchor.direction}: ${dispatch.source.workgroups.join(' x ')} workgroups`
      );
    });
    const lines = source.code.trimEnd().split('\n');
    return [
      kernel,
      ...places,
      'constants       ' +
        ([...constants].map(([name, value]) => `${name} = ${constantText(value, constants)}`).join(', ') || 'none'),
      `registers       ${sizesText(arrays, 'words of arrays an invocation', 4)}`,
      `workgroup size  ${workgroup.join(' x ')}, ${invocations} of at most ` +
        `${limits.maxComputeInvocationsPerWorkgroup} invocations`,
      `shared memory   ${sizesText(shared, `of at most ${limits.maxComputeWorkgroupStorageSize} bytes`)}`,
      `storage buffers ${source.operands.length} of at most ${limits.maxStorageBuffersPerShaderStage}: ` +
        `${source.operands.map(({ name: operand, access }) => `${operand} (${access})`).join(', ')}`,
      ...(source.tuning === undefined
        ? ['candidates      none: this kernel has one form']
        : [`chosen          ${choiceName(source.tuning.choice)} for "${problemKey(source.tuning.problem)}"`]),
      '',
      ...lines.map((line, index) => `${String(index + 1).padStart(String(lines.length).length)}  ${line}`),
    ].join('\n');
  });
  return parts.join('\n\n');
}
