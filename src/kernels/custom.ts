import { check } from '../errors.js';
import { elementCount } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { isolate, renameNames } from '../wgsl/isolate.js';
import { link } from '../wgsl/link.js';
import { bases, foldGrid, operandBytes, reads, words, writes } from './grid.js';
import type { Lowering } from './types.js';

/** Invocations of a workgroup: WX of shaders/elementwise/custom.wgsl. */
const width = 64;

const shapeConstant = (name: string, shape: readonly number[]): string => {
  const sizes = shape.length === 0 ? [1] : shape;
  return `const ${name} = array<u32, ${sizes.length}>(${sizes.map((size) => `${size}u`).join(', ')});`;
};

/**
 * A kernel of the user's own. Its names get a suffix, so that it may use any, and it reaches its inputs by generated
 * functions.
 *
 * @throws LinbpError `limit-exceeded` where it touches more tensors than the device binds
 */
export const lowerCustom: Lowering<'custom'> = (node, _group, { device }) => {
  const { kernel } = node.attrs;
  const [result] = node.outputs;
  const operands = [...node.inputs.map((tensor, index) => reads(`in${index}`, tensor)), writes('out', result!)];
  check(
    operands.length <= device.maxStorageBuffers,
    'limit-exceeded',
    `${kernel.name} touches ${operands.length} tensors, the device binds ${device.maxStorageBuffers}`,
    kernel.name,
  );
  // Two inputs may be one tensor, which is then bound twice for reading. Behind its end lies another one's memory; what
  // is read there is no number, as behind the end of an array.
  const access = node.inputs.map(
    ({ shape }, index) =>
      `fn at_of_in${index}(i: u32) -> f32 {\n` +
      `  let inside = i < ${elementCount(shape)}u;\n` +
      `  let bits = bitcast<u32>(in${index}[p.in${index}Base + select(0u, i, inside)]);\n` +
      `  return bitcast<f32>(select(0x7fc00000u, bits, inside));\n}`,
  );
  const shapes = node.inputs.map(({ shape }, index) => shapeConstant(`shape_of_in${index}`, shape));
  const own = new Map(
    kernel.inputs.flatMap((name, index) => [
      [`${name}_at`, `at_of_in${index}`],
      [`${name}_shape`, `shape_of_in${index}`],
    ]),
  );
  own.set('result_shape', 'shape_of_out');
  const text = renameNames(isolate(kernel.wgsl, '_own', { element: 'element' }), own);
  const count = elementCount(result!.shape);
  const lines = (texts: readonly string[]): string => texts.map((line) => `${line}\n`).join('');
  return [
    {
      kernel: 'elementwise/custom',
      variant: kernel.name,
      code: link('elementwise/custom', {
        regions: {
          params: lines(operands.map(({ name }) => `  ${name}Base: u32,`)),
          bindings: lines(
            operands.map(
              ({ name, access: how }, index) =>
                `@group(1) @binding(${index + 1}) var<storage, ` +
                `${how === 'read' ? 'read' : 'read_write'}> ${name}: array<f32>;`,
            ),
          ),
          element: lines([...access, ...shapes, shapeConstant('shape_of_out', result!.shape), text]),
        },
      }),
      operands,
      parameters: [...words({ count }), ...bases(operands)],
      workgroups: foldGrid(Math.ceil(count / width)),
      flops: opTable.custom.flops(node),
      bytes: operandBytes(operands),
    },
  ];
};
