import { numbersOfField } from '../graph/fields.js';
import type { FieldKind } from '../graph/fields.js';
import { elementCount } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { link } from '../wgsl/link.js';
import type { LinkOptions } from '../wgsl/link.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import type { Lowering } from './types.js';

/** Invocations of a workgroup: WX of the shaders. */
const lanes = 64;

const wgslNumber = (value: number): string => {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? text : `${text}.0`;
};
const wgslArray = (values: readonly number[]): string =>
  `array<f32, ${values.length}>(${values.map(wgslNumber).join(', ')})`;

/** The shader file of each kind, and what is set in it. */
function shaderOf(kind: FieldKind, values: readonly number[]): { readonly file: string; readonly set: LinkOptions } {
  const [first = 0, second = 0] = values;
  switch (kind) {
    case 'strips':
      return { file: 'fieldStrips', set: { constants: { BLOCKS: first, ANGLE: Math.fround(second) } } };
    case 'blocks':
    case 'blockFactors':
      return { file: 'fieldBlocks', set: { constants: { BLOCKS: first, FACTORS: kind === 'blockFactors' } } };
    case 'resize':
      return { file: 'fieldResize', set: { constants: { AXIS: second } } };
    case 'shift':
      return { file: 'fieldShift', set: { constants: { REACH: first } } };
    case 'warp': {
      const text = `const weights = ${wgslArray(values.slice(0, 9))};\nconst affine = ${wgslArray(values.slice(9))};\n`;
      return { file: 'fieldWarp', set: { regions: { spline: text } } };
    }
    case 'index':
      return { file: 'fieldIndex', set: {} };
  }
}

/** One element an invocation. */
export const lowerSampleField: Lowering<'sampleField'> = (node) => {
  const { kind, planes, size, values } = node.attrs;
  const numbers = node.inputs[0]!;
  const result = node.outputs[0]!;
  const operands = [reads('numbers', numbers), writes('result', result)];
  const { file, set } = shaderOf(kind, values);
  const count = elementCount(result.shape);
  const whole = kind === 'index';
  const constants = whole ? {} : { NUMBERS: numbersOfField(kind, values), ...set.constants };
  const shape = whole ? {} : { planes, height: size[0], width: size[1] };
  return [
    {
      kernel: `source/${file}`,
      variant: kind,
      code: link(`source/${file}`, { ...set, constants }),
      operands,
      parameters: [...words({ count, ...shape }), ...bases(operands)],
      workgroups: foldGrid(Math.ceil(count / lanes)),
      flops: opTable.sampleField.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
