import { check } from '../errors.js';
import { resolveView } from '../graph/graph.js';
import { elementCount } from '../graph/types.js';
import type { ElementwiseFunction, Node, Tensor } from '../graph/types.js';
import { opTable } from '../ops/table.js';
import { bases, elementwiseWidth, foldGrid, operandBytes, reads, sliceOperand, slices, words, writes } from './grid.js';
import { link, shaderSource } from '../wgsl/link.js';
import { bindingBase } from './types.js';
import { renameNames } from '../wgsl/isolate.js';
import type { Dispatch, Lowering, LoweringContext, Operand, UniformParameter } from './types.js';

/** Elements of a workgroup of the elementwise kernels. */
const block = 256;

/** How an input of `map` is indexed. */
type Extent = 'full' | 'sample' | 'scalar';

interface MapInput {
  readonly operand: number;
  readonly extent: Extent;
}

const sameMemory = (a: Tensor, b: Tensor): boolean => {
  const [left, right] = [resolveView(a), resolveView(b)];
  return left.root === right.root && left.offset === right.offset && elementCount(a.shape) === elementCount(b.shape);
};

/** Binds each memory once: a tensor that is read and overwritten must not appear under two access modes. */
function bindInputs(node: Node<'map'>): { operands: Operand[]; inputs: MapInput[] } {
  const operands: Operand[] = [];
  const full = elementCount(node.inputs[0]!.shape);
  const inputs = node.inputs.map((tensor, index): MapInput => {
    const count = elementCount(tensor.shape);
    const extent: Extent = count === full ? 'full' : count === 1 ? 'scalar' : 'sample';
    const access = node.mutates.includes(index) ? 'readWrite' : 'read';
    const known = operands.findIndex((operand) => sameMemory(operand.tensor, tensor));
    if (known < 0) return { operand: operands.push({ name: `in${operands.length}`, tensor, access }) - 1, extent };
    if (access === 'readWrite') operands[known] = { ...operands[known]!, access };
    return { operand: known, extent };
  });
  return { operands, inputs };
}

const place: Readonly<Record<Extent, string>> = {
  full: ' + element',
  sample: ' + (p.first + element) / p.sampleSize',
  scalar: '',
};

const isScalar = (inputs: readonly MapInput[], operand: number): boolean =>
  inputs.some((input) => input.operand === operand && input.extent === 'scalar');

/** Components of the four elements that an invocation of the vector form computes at once. */
const components = ['x', 'y', 'z', 'w'] as const;

const lines = (text: readonly string[]): string => text.map((line) => `${line}\n`).join('');

/** The function that computes the results of one element, of the caller's expressions. */
function computeText({ inputs, scalars, prelude, results }: ElementwiseFunction): string {
  // A caller's names may be words of WGSL or functions that the expressions call.
  const own = new Map([...inputs, ...scalars].map((name) => [name, `arg_${name}`]));
  return lines([
    `struct Results { ${results.map((_, index) => `r${index}: f32`).join(', ')} }`,
    `fn compute(${[...own.values()].map((name) => `${name}: f32`).join(', ')}) -> Results {`,
    ...(prelude === undefined ? [] : [renameNames(prelude, own)]),
    `  return Results(${results.map((result) => renameNames(result, own)).join(', ')});`,
    '}',
  ]);
}

/** The buffers of a map, of vectors of four where `isVector` says so. */
const bindingText = (operands: readonly Operand[], isVector: (operand: number) => boolean): string =>
  lines(
    operands.map(({ name, access, tensor }, index) => {
      const scalar = tensor.dtype === 'u32' ? 'u32' : 'f32';
      const element = isVector(index) ? (scalar === 'f32' ? 'vec4f' : 'vec4u') : scalar;
      return (
        `@group(1) @binding(${index + 1}) var<storage, ` +
        `${access === 'read' ? 'read' : 'read_write'}> ${name}: array<${element}>;`
      );
    }),
  );

function mapRegions(
  node: Node<'map'>,
  operands: readonly Operand[],
  inputs: readonly MapInput[],
  scalars: readonly UniformParameter[],
  vector: boolean,
): Record<string, string> {
  const { fn, targets } = node.attrs;
  const at = (operand: number, extent: Extent): string =>
    `${operands[operand]!.name}[p.${operands[operand]!.name}Base${place[extent]}]`;
  const perStep = node.attrs.scalars.map((scalar) => typeof scalar !== 'number');
  const scalarNames = scalars.map((_, index) => `scalar${index}`);
  const isVector = (operand: number): boolean => vector && !isScalar(inputs, operand);
  let fresh = operands.findIndex((operand) => operand.access === 'write');
  const stored = targets.map((target) => (target === 'new' ? fresh++ : inputs[target]!.operand));
  const call = (component: string): string => {
    const values = inputs.map(({ operand }, index) => (isVector(operand) ? `v${index}.${component}` : `v${index}`));
    return `compute(${[...values, ...scalarNames].join(', ')})`;
  };
  // Words such as labels count by their value, not by the bits of a float.
  const loaded = (operand: number, element: string): string =>
    operands[operand]!.tensor.dtype === 'u32' ? `${isVector(operand) ? 'vec4f' : 'f32'}(${element})` : element;
  return {
    params: lines([
      ...operands.map(({ name }) => `  ${name}Base: u32,`),
      ...scalars.map(({ name, type }) => `  ${name}: ${type},`),
    ]),
    bindings: bindingText(operands, isVector),
    step: perStep.includes(true) ? shaderSource('step') : '',
    compute: computeText(fn),
    scalars: lines(
      scalars.map(
        ({ name }, index) => `  let scalar${index} = ${perStep[index] ? `stepF32(p.${name})` : `p.${name}`};`,
      ),
    ),
    body: lines([
      ...inputs.map(({ operand, extent }, index) => `      let v${index} = ${loaded(operand, at(operand, extent))};`),
      ...(vector
        ? components.map((component) => `      let ${component} = ${call(component)};`)
        : [`      let x = ${call('')};`]),
      ...stored.map((operand, index) => {
        const value = vector
          ? `vec4f(${components.map((component) => `${component}.r${index}`).join(', ')})`
          : `x.r${index}`;
        return `      ${at(operand, 'full')} = ${value};`;
      }),
    ]),
  };
}

/**
 * One dispatch for a whole elementwise function. Constants are uniforms, so changing them compiles nothing; scalars
 * that change per step are read from the step row.
 *
 * @throws LinbpError `limit-exceeded` where the function touches more tensors than the device binds
 */
export const lowerMap: Lowering<'map'> = (node, _group, context) => {
  const { fn } = node.attrs;
  const { operands, inputs } = bindInputs(node);
  for (const [index, tensor] of node.outputs.entries()) operands.push(writes(`out${index}`, tensor));
  const most = context.device.maxStorageBuffers;
  check(
    operands.length <= most,
    'limit-exceeded',
    `${fn.name} touches ${operands.length} tensors, the device binds ${most}`,
    fn.name,
  );
  const scalars = node.attrs.scalars.map((scalar, index): UniformParameter => {
    const name = `${fn.scalars[index]!}Scalar`;
    return typeof scalar === 'number'
      ? { name, type: 'f32', value: scalar }
      : { name, type: 'u32', value: context.stepWord(scalar.step) };
  });
  const [batch = 1] = node.inputs[0]!.shape;
  const count = elementCount(node.inputs[0]!.shape);
  // Four elements at a time need whole vectors; slices begin at multiples of 64.
  const vector =
    count % 4 === 0 &&
    inputs.every(({ extent }) => extent !== 'sample') &&
    operands.every(({ tensor }, index) => isScalar(inputs, index) || bindingBase(tensor) % 4 === 0);
  const unit = vector ? 4 : 1;
  const code = link('elementwise/map', {
    constants: elementwiseWidth(block, context.device),
    regions: mapRegions(node, operands, inputs, scalars, vector),
  });
  const offsets = bases(operands).map((base, index) =>
    isScalar(inputs, index) ? base : { ...base, value: base.value / unit },
  );
  return slices(count, 1, context.device).map((slice): Dispatch => {
    const bound = operands.map((operand) =>
      elementCount(operand.tensor.shape) === count ? sliceOperand(operand, slice, 1) : operand,
    );
    return {
      kernel: 'elementwise/map',
      variant: fn.name,
      code,
      operands: bound,
      parameters: [
        ...words({ count: slice.count / unit, first: slice.first / unit, sampleSize: count / batch }),
        ...offsets,
        ...scalars,
      ],
      workgroups: foldGrid(Math.ceil(slice.count / unit / block)),
      flops: (opTable.map.flops(node) * slice.count) / count,
      bytes: operandBytes(bound),
    };
  });
};

/** Copies dispatch by dispatch; `context` decides how much fits a binding. */
function copySlices(value: Tensor, state: Tensor, context: LoweringContext): Dispatch[] {
  const operands: Operand[] = [reads('value', value), writes('state', state)];
  const code = link('elementwise/assign', { constants: elementwiseWidth(block, context.device) });
  return slices(elementCount(value.shape), 1, context.device).map((slice): Dispatch => {
    const bound = operands.map((operand) => sliceOperand(operand, slice, 1));
    return {
      kernel: 'elementwise/assign',
      variant: '',
      code,
      operands: bound,
      parameters: [...words({ count: slice.count }), ...bases(operands)],
      workgroups: foldGrid(Math.ceil(slice.count / block)),
      flops: 0,
      bytes: operandBytes(bound),
    };
  });
}

/** state = value, for any dtype. Nothing runs where both are the same memory. */
export const lowerAssign: Lowering<'assign'> = (node, _group, context) => {
  const [value, state] = node.inputs as [Tensor, Tensor];
  return sameMemory(value, state) ? [] : copySlices(value, state, context);
};
