import { LinbpError } from '../errors.js';
import { byteLength, elementCount, imagePitch, maskRows, pixelCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import {
  writeActivation,
  writeActivationBackward,
  writeBinary,
  writeUnary,
  writeUnaryBackward,
} from './epilogueFunctions.js';
import { EpilogueWriter, inFoursTypes, singleTypes } from './epilogueWriter.js';
import { sameShape } from '../ops/elementwise.js';
import { maxWorkgroups } from './grid.js';
import { link } from '../wgsl/link.js';
import { inFours } from './staging.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, Lowering, Operand, UniformParameter } from './types.js';

/** The shader regions, operands and parameters of a fused chain of pointwise nodes. */
export interface Epilogue {
  readonly regions: Readonly<Record<string, string>>;
  readonly operands: readonly Operand[];
  readonly parameters: readonly UniformParameter[];
  /** The chain's result, to be bound as the kernel's main output. */
  readonly output: Tensor;
  /** Names of the fused operations, for people to read. */
  readonly variant: string;
  readonly flops: number;
  readonly bytes: number;
  /** Whether it reads nothing but numbers per channel: no masks and no other tensors as large as the output. */
  readonly perChannel: boolean;
  /**
   * Whether what it reads and writes besides the output lies so that four neighboring pixels can be read and written
   * at once.
   */
  readonly fits: boolean;
}

function writeKept(writer: EpilogueWriter, tensor: Tensor): void {
  writer.body.push(`${writer.element('kept', tensor, 'write')} = v;`);
}

/** Reads of vectors [C] at the channel at hand. */
function perChannel(writer: EpilogueWriter, tensors: readonly Tensor[], names: readonly string[]): string[] {
  return tensors.map((tensor, index) => {
    const { name, at } = writer.operand(names[index]!, tensor, 'read', false);
    return `${name}[${at} + at.channel]`;
  });
}

/** Writes one node of the chain whose running value is `incoming`. */
function writeNode(writer: EpilogueWriter, node: Node, incoming: Tensor): void {
  switch (node.op) {
    case 'activation':
      writeActivation(writer, node as Node<'activation'>);
      return;
    case 'activationBackward':
      writeActivationBackward(writer, node as Node<'activationBackward'>);
      return;
    case 'unary':
      writeUnary(writer, node as Node<'unary'>);
      return;
    case 'unaryBackward':
      writeUnaryBackward(writer, node as Node<'unaryBackward'>);
      return;
    case 'binary':
      writeBinary(writer, node as Node<'binary'>, incoming);
      return;
    case 'scaleShift': {
      const scale = writer.operand('scale', node.inputs[1]!, 'read', false);
      const shift = node.inputs[2] === undefined ? undefined : writer.operand('shift', node.inputs[2], 'read', false);
      writer.body.push(
        `v = v * ${scale.name}[${scale.at} + ` +
          `at.channel]${shift === undefined ? '' : ` + ${shift.name}[${shift.at} + at.channel]`};`,
      );
      return;
    }
    case 'batchNormApply': {
      const [mean, scale, beta] = perChannel(writer, node.inputs.slice(1, 4), ['mean', 'scale', 'beta']);
      writer.body.push(`v = (v - ${mean}) * ${scale} + ${beta};`);
      return;
    }
    case 'batchNormInputGradient': {
      const x = writer.element('x', node.inputs[1]!, 'read');
      const [mean, scale, slope, offset] = perChannel(writer, node.inputs.slice(2), [
        'mean',
        'scale',
        'slope',
        'offset',
      ]);
      writer.body.push(`v = v * ${scale} + (${x} - ${mean}) * ${slope} + ${offset};`);
      return;
    }
    case 'add': {
      const [first, second] = node.inputs as [Tensor, Tensor];
      if (first === second) {
        writer.body.push('v = v + v;');
        return;
      }
      writer.body.push(`v = v + ${writer.element('other', first === incoming ? second : first, 'read')};`);
      return;
    }
    default:
      throw new LinbpError('internal', `${node.op} cannot run in an epilogue`, { field: node.op });
  }
}

/** Whether a node of a chain from place `first` on reads `value`. */
const later = (nodes: readonly Node[], first: number, value: Tensor): boolean =>
  nodes.some((node, place) => place >= first && node.inputs.includes(value));

/**
 * The epilogue of a kernel whose main result `start` runs through the chain `nodes`: replacements for the regions
 * "params", "bindings", "epilogue", "begin column" and "end column". A kernel that uses it defines, per column, the
 * variables `image`, `pixel` and `firstChannel` (a multiple of 16) and calls `finish` for at most 16 channels from
 * there. One that has several columns at work at a time numbers them: by a variable `slot` < `slots` in those
 * regions, by `at.slot` in `finish`. With `fours`, a column is four neighboring pixels, of which `pixel` and `at` are
 * the first; that needs an epilogue that `fits`.
 */
export function writeEpilogue(
  start: Tensor,
  nodes: readonly Node[],
  kept: readonly Tensor[],
  firstBinding: number,
  bias?: Tensor,
  slots = 1,
  fours = false,
): Epilogue {
  const output = nodes.at(-1)?.outputs[0] ?? start;
  const writer = new EpilogueWriter(firstBinding, imagePitch(output), slots, fours);
  let flops = 0;
  if (bias !== undefined) {
    const operand = writer.operand('bias', bias, 'read', false);
    writer.body.push(`v = v + ${operand.name}[${operand.at} + at.channel];`);
    flops += elementCount(start.shape);
  }
  let value = start;
  for (const [index, node] of nodes.entries()) {
    if (kept.includes(value)) writeKept(writer, value);
    if (later(nodes, index + 1, value)) writer.hold(value);
    writeNode(writer, node, value);
    flops += elementCount(start.shape);
    value = node.outputs[0]!;
  }
  const finish = [
    'fn finish(value: Values, at: Place) -> Values {',
    '  var v = value;',
    ...writer.body.map((line) => `  ${line}`),
    '  return v;',
    '}',
  ];
  return {
    regions: {
      params: writer.fields.join('\n') + '\n',
      bindings: writer.bindings.join('\n') + '\n',
      epilogue: [...(fours ? inFoursTypes : singleTypes), ...writer.functions, ...finish].join('\n') + '\n',
      'begin column': writer.begin.join('\n') + '\n',
      'end column': writer.end.join('\n') + '\n',
    },
    operands: writer.operands,
    parameters: writer.parameters,
    output,
    variant: [...(bias === undefined ? [] : ['bias']), ...nodes.map(describe)].join('+'),
    flops,
    bytes: writer.operands.reduce((sum, operand) => sum + byteLength(operand.tensor), 0),
    perChannel: writer.perChannel,
    fits: writer.fits,
  };
}

const describe = (node: Node): string =>
  node.op === 'unary' || node.op === 'unaryBackward' || node.op === 'binary'
    ? `${(node as Node<'unary' | 'unaryBackward' | 'binary'>).attrs.kind}${node.op === 'unaryBackward' ? 'Slope' : ''}`
    : describeActivation(node);

const describeActivation = (node: Node): string =>
  node.op === 'activationBackward'
    ? `${(node as Node<'activationBackward'>).attrs.rule.rule.name}`
    : node.op === 'activation'
      ? `${(node as Node<'activation'>).attrs.kind}${(node as Node<'activation'>).attrs.mask ? 'Mask' : ''}`
      : node.op;

/** The epilogue of a group: its followers behind the anchor's first output. */
export function epilogue(group: Group, firstBinding: number, bias?: Tensor, slots = 1, fours = false): Epilogue {
  return writeEpilogue(group.anchor.outputs[0]!, group.followers, group.kept, firstBinding, bias, slots, fours);
}

/**
 * A grid of `x` by `y` workgroups whose longer axis goes on in z where it is longer than an axis may be. Memory ends
 * before both are.
 */
function foldedGrid(x: number, y: number): { workgroups: [number, number, number]; foldX: number; foldY: number } {
  const z = Math.ceil(Math.max(x, y) / maxWorkgroups);
  const [foldX, foldY] = [x > maxWorkgroups ? maxWorkgroups : 0, y > maxWorkgroups ? maxWorkgroups : 0];
  return { workgroups: [foldX || x, foldY || y, z], foldX, foldY };
}

function lowerChain(group: Group, input: Tensor = group.anchor.inputs[0]!): Dispatch[] {
  const write = (fours: boolean): Epilogue =>
    writeEpilogue(input, [group.anchor, ...group.followers], group.kept, 3, undefined, 1, fours);
  const [batch = 1, channels = 1] = input.shape;
  const pixels = pixelCount(input.shape);
  const single = write(false);
  const whole = [input, single.output].every((tensor) => inFours(pixels, bindingBase(tensor), imagePitch(tensor)));
  const fours = single.fits && whole;
  const chain = fours ? write(true) : single;
  const { workgroups, foldX, foldY } = foldedGrid(
    Math.ceil((batch * pixels) / (fours ? 256 : 64)),
    Math.ceil(channels / maskRows),
  );
  return [
    {
      kernel: 'elementwise/pointwise',
      variant: `${chain.variant}${fours ? ' vec4' : ''}`,
      code: link('elementwise/pointwise', { regions: chain.regions }),
      operands: [
        { name: 'a', tensor: input, access: 'read' },
        { name: 'c', tensor: chain.output, access: 'write' },
        ...chain.operands,
      ],
      parameters: [
        { name: 'channels', type: 'u32', value: channels },
        { name: 'pixels', type: 'u32', value: pixels },
        { name: 'batch', type: 'u32', value: batch },
        { name: 'aBase', type: 'u32', value: bindingBase(input) },
        { name: 'aBatch', type: 'u32', value: imagePitch(input) },
        { name: 'cBase', type: 'u32', value: bindingBase(chain.output) },
        { name: 'cBatch', type: 'u32', value: imagePitch(chain.output) },
        { name: 'foldX', type: 'u32', value: foldX },
        { name: 'foldY', type: 'u32', value: foldY },
        ...chain.parameters,
      ],
      workgroups,
      flops: chain.flops,
      bytes: chain.bytes + byteLength(input) + byteLength(chain.output),
    },
  ];
}

export const lowerActivation: Lowering<'activation'> = (_node, group) => lowerChain(group);
export const lowerActivationBackward: Lowering<'activationBackward'> = (_node, group) => lowerChain(group);
export const lowerScaleShift: Lowering<'scaleShift'> = (_node, group) => lowerChain(group);
export const lowerBatchNormApply: Lowering<'batchNormApply'> = (_node, group) => lowerChain(group);
export const lowerBatchNormInputGradient: Lowering<'batchNormInputGradient'> = (_node, group) => lowerChain(group);
export const lowerUnary: Lowering<'unary'> = (_node, group) => lowerChain(group);
export const lowerUnaryBackward: Lowering<'unaryBackward'> = (_node, group) => lowerChain(group);
export const lowerAdd: Lowering<'add'> = (_node, group) => lowerChain(group);

/** The operand that is as large as the result goes through the chain; where both broadcast, it is expanded first. */
export const lowerBinary: Lowering<'binary'> = (node, group) => {
  const shape = node.outputs[0]!.shape;
  const whole = node.inputs.find((input) => sameShape(input.shape, shape));
  if (whole === undefined)
    throw new LinbpError('internal', `no operand of ${node.attrs.kind} has the shape of its result`, {
      field: node.layer,
    });
  return lowerChain(group, whole);
};
