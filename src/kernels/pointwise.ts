import { LinbpError } from '../errors.js';
import { byteLength, elementCount, imagePitch, maskRows, pixelCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { maxWorkgroups } from './grid.js';
import { link } from '../wgsl/link.js';
import { inFours } from './staging.js';
import { bindingBase } from './types.js';
import type { Dispatch, Group, Lowering, LoweringContext, Operand, Parameter } from './types.js';

/** The shader regions, operands and parameters of a fused chain of pointwise nodes. */
export interface Epilogue {
  readonly regions: Readonly<Record<string, string>>;
  readonly operands: readonly Operand[];
  readonly parameters: readonly Parameter[];
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

/** The types of the region "epilogue": what `finish` takes at a time, and the mask words of as many pixels. */
const singleTypes = [
  'alias Values = f32;',
  'alias MaskWords = u32;',
  'const ABREAST = 1u;',
  'fn valuesOf(numbers: vec4f) -> Values { return numbers.x; }',
];
const inFoursTypes = [
  'alias Values = vec4f;',
  'alias MaskWords = vec4u;',
  'const ABREAST = 4u;',
  'fn valuesOf(numbers: vec4f) -> Values { return numbers; }',
];

/** Collects the text, operands and parameters of an epilogue, giving each a unique name. */
class EpilogueWriter {
  readonly operands: Operand[] = [];
  readonly parameters: Parameter[] = [];
  readonly fields: string[] = [];
  readonly bindings: string[] = [];
  readonly functions: string[] = [];
  readonly body: string[] = [];
  readonly begin: string[] = [];
  readonly end: string[] = [];
  perChannel = true;
  fits = true;
  private readonly firstBinding: number;
  private readonly pitch: number;
  private readonly slots: number;
  private readonly fours: boolean;

  /** `pitch`: elements between images of the kernel's main output, which `at.index` counts in. */
  constructor(firstBinding: number, pitch: number, slots: number, fours: boolean) {
    this.firstBinding = firstBinding;
    this.pitch = pitch;
    this.slots = slots;
    this.fours = fours;
  }

  /** A word of a packed mask for each column at work, as it is called around a column and inside it. */
  maskBits(name: string): { readonly around: string; readonly inside: string } {
    this.perChannel = false;
    const bits = `${name}Bits`;
    this.functions.push(`var<private> ${bits}: ${this.slots === 1 ? 'MaskWords' : `array<MaskWords, ${this.slots}>`};`);
    return this.slots === 1 ? { around: bits, inside: bits } : { around: `${bits}[slot]`, inside: `${bits}[at.slot]` };
  }

  /** A tensor of which each pixel has its own elements where `wide`, a vector [C] otherwise. */
  operand(prefix: string, tensor: Tensor, access: 'read' | 'write', wide: boolean): { name: string; at: string } {
    const index = this.operands.length;
    const name = `${prefix}${index}`;
    const mode = access === 'read' ? 'read' : 'read_write';
    this.operands.push({ name, tensor, access });
    const element = tensor.dtype === 'u32' ? 'u32' : 'f32';
    const elements = wide && this.fours ? `vec4<${element}>` : element;
    if (wide) this.fits &&= inFours(bindingBase(tensor), imagePitch(tensor), pixelCount(tensor.shape));
    this.bindings.push(
      `@group(1) @binding(${this.firstBinding + index}) var<storage, ${mode}> ${name}: array<${elements}>;`,
    );
    return { name, at: this.parameter(`${name}Base`, 'u32', bindingBase(tensor)) };
  }

  /** The elements of a wide operand from `index` on. */
  elementsAt(name: string, index: string): string {
    return this.fours ? `${name}[(${index}) / 4u]` : `${name}[${index}]`;
  }

  /**
   * The element at hand of a tensor [N, C, ...] that is as large as the main output, whose images may lie further
   * apart or closer.
   */
  element(prefix: string, tensor: Tensor, access: 'read' | 'write'): string {
    this.perChannel = false;
    const { name, at } = this.operand(prefix, tensor, access, true);
    const apart = imagePitch(tensor) - this.pitch;
    if (apart === 0) return this.elementsAt(name, `${at} + at.index`);
    // modulo 2^32, as the shader computes
    return this.elementsAt(name, `${at} + at.index + at.image * ${this.parameter(`${name}Apart`, 'u32', apart >>> 0)}`);
  }

  /** Applies a rule, a function of single numbers, to the values at hand. */
  callRule(index: number, derivative: string, z: string, parameters: string): void {
    if (!this.fours) {
      this.body.push(`v = rule${index}(v, ${derivative}, ${z}, ${parameters});`);
      return;
    }
    const [d, s] = [`derivative${index}`, `saved${index}`];
    const calls = ['x', 'y', 'z', 'w'].map(
      (part) => `rule${index}(v.${part}, ${d}.${part}, ${s}.${part}, parameters${index})`,
    );
    this.body.push(
      `let ${d} = ${derivative};`,
      `let ${s} = ${z};`,
      `let parameters${index} = ${parameters};`,
      `v = vec4f(${calls.join(', ')});`,
    );
  }

  parameter(name: string, type: Parameter['type'], value: number): string {
    this.parameters.push({ name, type, value });
    this.fields.push(`  ${name}: ${type},`);
    return `p.${name}`;
  }
}

/** Words of the packed mask that hold the channels of the pixels at hand from `firstChannel` on. */
const maskWords = (
  writer: EpilogueWriter,
  operand: { name: string; at: string },
  rows: string,
  pixels: string,
): string =>
  writer.elementsAt(
    operand.name,
    `${operand.at} + (image * ${rows} + firstChannel / ${maskRows}u) * ${pixels} + pixel`,
  );

function writeActivation(writer: EpilogueWriter, node: Node<'activation'>): void {
  const inside = node.attrs.kind === 'relu6' ? '(v > Values(0.0)) & (v < Values(6.0))' : 'v > Values(0.0)';
  if (node.attrs.mask) {
    const mask = node.outputs[1]!;
    const operand = writer.operand('mask', mask, 'write', true);
    const rows = writer.parameter(`${operand.name}Rows`, 'u32', mask.shape[1]!);
    const pixels = writer.parameter(`${operand.name}Pixels`, 'u32', pixelCount(node.outputs[0]!.shape));
    const bits = writer.maskBits(operand.name);
    writer.begin.push(`${bits.around} = MaskWords(0u);`);
    writer.body.push(
      `${bits.inside} |= select(MaskWords(0u), MaskWords(1u), ${inside}) << MaskWords(at.channel % ${maskRows}u);`,
    );
    writer.end.push(
      `if (firstChannel < ${writer.parameter(`${operand.name}Channels`, 'u32', node.outputs[0]!.shape[1]!)}) {`,
    );
    writer.end.push(`  ${maskWords(writer, operand, rows, pixels)} = ${bits.around};`, '}');
  }
  // max and clamp may turn NaN into 0, and a diverged network would then look healthy.
  writer.body.push('v = select(v, Values(0.0), v <= Values(0.0));');
  if (node.attrs.kind === 'relu6') writer.body.push('v = select(v, Values(6.0), v >= Values(6.0));');
  if (node.attrs.kind === 'relu6Official') writer.body.push('v = select(v, v + (v - 6.0), v > Values(6.0));');
}

function writeActivationBackward(writer: EpilogueWriter, node: Node<'activationBackward'>): void {
  const { rule, values } = node.attrs.rule;
  const index = writer.functions.length;
  writer.functions.push(
    rule.wgsl
      .replace(/\bfn rule\b/, `fn rule${index}`)
      .replace(/^alias RuleParams.*$/m, '')
      .replaceAll('RuleParams', 'vec4<f32>'),
  );
  const value = (slot: number): string => writer.parameter(`rule${index}Value${slot}`, 'f32', values[slot] ?? 0);
  const parameters = `vec4<f32>(${[0, 1, 2, 3].map(value).join(', ')})`;
  let derivative = 'Values(0.0)';
  let z = 'Values(0.0)';
  if (rule.saves === 'mask') {
    const mask = node.inputs[1]!;
    const operand = writer.operand('saved', mask, 'read', true);
    const rows = writer.parameter(`${operand.name}Rows`, 'u32', mask.shape[1]!);
    const pixels = writer.parameter(`${operand.name}Pixels`, 'u32', pixelCount(node.outputs[0]!.shape));
    const bits = writer.maskBits(operand.name);
    writer.begin.push(`${bits.around} = ${maskWords(writer, operand, rows, pixels)};`);
    derivative = `Values((${bits.inside} >> MaskWords(at.channel % ${maskRows}u)) & MaskWords(1u))`;
  } else if (rule.saves === 'input') {
    z = writer.element('saved', node.inputs[1]!, 'read');
    derivative = `select(Values(0.0), Values(1.0), (${z} > Values(0.0))${node.attrs.kind === 'relu6' ? ` & (${z} < Values(6.0))` : ''})`;
  }
  writer.callRule(index, derivative, z, parameters);
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
    case 'scaleShift': {
      const scale = writer.operand('scale', node.inputs[1]!, 'read', false);
      const shift = node.inputs[2] === undefined ? undefined : writer.operand('shift', node.inputs[2], 'read', false);
      writer.body.push(
        `v = v * ${scale.name}[${scale.at} + at.channel]${shift === undefined ? '' : ` + ${shift.name}[${shift.at} + at.channel]`};`,
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
  for (const node of nodes) {
    if (kept.includes(value)) writeKept(writer, value);
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
  node.op === 'activationBackward'
    ? `${(node as Node<'activationBackward'>).attrs.rule.rule.name}`
    : node.op === 'activation'
      ? `${(node as Node<'activation'>).attrs.kind}${(node as Node<'activation'>).attrs.mask ? 'Mask' : ''}`
      : node.op;

/** The epilogue of a group: its followers behind the anchor's first output. */
export function epilogue(
  group: Group,
  _context: LoweringContext,
  firstBinding: number,
  bias?: Tensor,
  slots = 1,
  fours = false,
): Epilogue {
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

function lowerChain(group: Group, context: LoweringContext): Dispatch[] {
  const input = group.anchor.inputs[0]!;
  const write = (fours: boolean): Epilogue =>
    writeEpilogue(input, [group.anchor, ...group.followers], group.kept, 3, undefined, 1, fours);
  const [batch = 1, channels = 1] = input.shape;
  const pixels = pixelCount(input.shape);
  // A processor loads number by number; on a GPU neighboring lanes do as well as vectors.
  const single = write(false);
  const whole = [input, single.output].every((tensor) => inFours(pixels, bindingBase(tensor), imagePitch(tensor)));
  const fours = context.device.software && single.fits && whole;
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

export const lowerActivation: Lowering<'activation'> = (_node, group, context) => lowerChain(group, context);
export const lowerActivationBackward: Lowering<'activationBackward'> = (_node, group, context) =>
  lowerChain(group, context);
export const lowerScaleShift: Lowering<'scaleShift'> = (_node, group, context) => lowerChain(group, context);
export const lowerBatchNormApply: Lowering<'batchNormApply'> = (_node, group, context) => lowerChain(group, context);
export const lowerBatchNormInputGradient: Lowering<'batchNormInputGradient'> = (_node, group, context) =>
  lowerChain(group, context);
export const lowerAdd: Lowering<'add'> = (_node, group, context) => lowerChain(group, context);
