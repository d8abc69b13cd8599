import { isolate } from '../wgsl/isolate.js';
import { LinbpError } from '../errors.js';
import { binaryFunctions } from '../graph/binary.js';
import { activationFunction, parameterValues, scalarFunction } from '../graph/functions.js';
import type { ActivationKind, ScalarFunctionName, TwoSlopes } from '../graph/functions.js';
import { maskRows, pixelCount } from '../graph/types.js';
import type { Node, Tensor } from '../graph/types.js';
import { hasTwoSlopes } from '../ops/activation.js';
import { maskWords } from './epilogueWriter.js';
import type { EpilogueWriter } from './epilogueWriter.js';

/** The largest f32, which stands for infinity: uniforms are finite. */
const largest = 3.4028234663852886e38;
const finite = (value: number): number => Math.max(-largest, Math.min(value, largest));

/** WGSL names of a function's parameters as one vec4f. */
function parameterVector(writer: EpilogueWriter, prefix: string, values: readonly number[], first?: string): string {
  const numbers = values.map((value, slot) =>
    slot === 0 && first !== undefined ? first : writer.parameter(`${prefix}${slot}`, 'f32', finite(value)),
  );
  return `vec4f(${[...numbers, '0.0', '0.0', '0.0', '0.0'].slice(0, 4).join(', ')})`;
}

/** v = f(v) for a function of shaders/functions. */
function applyFunction(
  writer: EpilogueWriter,
  name: ScalarFunctionName,
  given: readonly number[] | undefined,
  first?: string,
): void {
  const fn = scalarFunction(name);
  const suffix = `${writer.next}`;
  writer.define(`functions/${name}`, ['value', 'slope'], suffix);
  const names = Object.keys(fn.parameters);
  const values = parameterValues(fn, given).slice(0, names.length);
  writer.body.push(
    `let p${suffix} = ${parameterVector(writer, `${name}${suffix}Value`, values, first)};`,
    `v = ${writer.call(`value${suffix}`, ['v'], [`p${suffix}`])};`,
  );
}

/** Whether the value at hand lies where the slope is `inside`. */
function insideText(writer: EpilogueWriter, value: string, { from, to }: TwoSlopes): string {
  const at = (bound: number): string =>
    bound === 0 ? '0.0' : bound === 6 ? '6.0' : writer.parameter(`bound${writer.parameters.length}`, 'f32', bound);
  const tests = [
    ...(from === -Infinity ? [] : [`(${value} > Values(${at(from)}))`]),
    ...(to === Infinity ? [] : [`(${value} < Values(${at(to)}))`]),
  ];
  return tests.length === 0 ? `(${value} == ${value})` : tests.join(' & ');
}

/** The two slopes of an activation of {@link hasTwoSlopes}. */
function slopesOf(kind: ActivationKind, values: readonly number[] | undefined): TwoSlopes {
  if (kind === 'relu6Official') return { from: 0, to: Infinity, inside: 1, outside: 0 };
  const fn = activationFunction(kind);
  return fn.pieces!(...parameterValues(fn, values));
}

/** A vector's number at the channel at hand. */
function atChannel(writer: EpilogueWriter, prefix: string, tensor: Tensor): string {
  const { name, at } = writer.operand(prefix, tensor, 'read', false);
  return `${name}[${at} + at.channel]`;
}

/** Writes an activation into an epilogue, with its packed mask where something reads it. */
export function writeActivation(writer: EpilogueWriter, node: Node<'activation'>): void {
  const { kind, values, mask } = node.attrs;
  if (mask) {
    const saved = node.outputs[1]!;
    const operand = writer.operand('mask', saved, 'write', true);
    const rows = writer.parameter(`${operand.name}Rows`, 'u32', saved.shape[1]!);
    const pixels = writer.parameter(`${operand.name}Pixels`, 'u32', pixelCount(node.outputs[0]!.shape));
    const bits = writer.maskBits(operand.name);
    writer.begin.push(`${bits.around} = MaskWords(0u);`);
    const inside = insideText(writer, 'v', slopesOf(kind, values));
    writer.body.push(
      `${bits.inside} |= select(MaskWords(0u), MaskWords(1u), ${inside}) << MaskWords(at.channel % ${maskRows}u);`,
    );
    writer.end.push(
      `if (firstChannel < ${writer.parameter(`${operand.name}Channels`, 'u32', node.outputs[0]!.shape[1]!)}) {`,
    );
    writer.end.push(`  ${maskWords(writer, operand, rows, pixels)} = ${bits.around};`, '}');
  }
  if (kind === 'relu' || kind === 'relu6' || kind === 'relu6Official') {
    // max and clamp may turn NaN into 0, and a diverged network would then look healthy.
    writer.body.push('v = select(v, Values(0.0), v <= Values(0.0));');
    if (kind === 'relu6') writer.body.push('v = select(v, Values(6.0), v >= Values(6.0));');
    if (kind === 'relu6Official') writer.body.push('v = select(v, v + (v - 6.0), v > Values(6.0));');
  } else if (kind === 'prelu') {
    applyFunction(writer, 'leakyRelu', [], atChannel(writer, 'slopes', node.inputs[1]!));
  } else applyFunction(writer, kind, values);
}

/** An activation's derivative from what was saved of it, as vectors of the values at hand. */
function derivative(writer: EpilogueWriter, node: Node<'activationBackward'>, saved: Tensor, z: string): string {
  const { kind, values } = node.attrs;
  const slope = kind === 'prelu' ? atChannel(writer, 'slopes', node.inputs[2]!) : undefined;
  if (kind === 'relu6Official' || hasTwoSlopes(kind)) {
    const slopes = slopesOf(kind, values);
    const number = (value: number): string =>
      value === 0 ? '0.0' : value === 1 ? '1.0' : writer.parameter(`slope${writer.parameters.length}`, 'f32', value);
    const [outside, inside] = [slope ?? number(slopes.outside), number(slopes.inside)];
    if (z !== '') return `select(Values(${outside}), Values(${inside}), ${insideText(writer, z, slopes)})`;
    const operand = writer.operand('saved', saved, 'read', true);
    const rows = writer.parameter(`${operand.name}Rows`, 'u32', saved.shape[1]!);
    const pixels = writer.parameter(`${operand.name}Pixels`, 'u32', pixelCount(node.outputs[0]!.shape));
    const bits = writer.maskBits(operand.name);
    writer.begin.push(`${bits.around} = ${maskWords(writer, operand, rows, pixels)};`);
    const bit = `((${bits.inside} >> MaskWords(at.channel % ${maskRows}u)) & MaskWords(1u))`;
    if (outside === '0.0' && inside === '1.0') return `Values(${bit})`;
    return `select(Values(${outside}), Values(${inside}), ${bit} != MaskWords(0u))`;
  }
  if (kind === 'prelu') throw new LinbpError('internal', 'a PReLU has two slopes', { field: kind });
  return functionSlope(writer, kind, values, z);
}

/** The derivative of a function of shaders/functions at `z`. */
function functionSlope(
  writer: EpilogueWriter,
  name: ScalarFunctionName,
  given: readonly number[] | undefined,
  z: string,
): string {
  const fn = scalarFunction(name);
  const suffix = `${writer.next}`;
  writer.define(`functions/${name}`, ['value', 'slope'], suffix);
  const values = parameterValues(fn, given).slice(0, Object.keys(fn.parameters).length);
  return writer.call(`slope${suffix}`, [z], [parameterVector(writer, `${name}${suffix}Value`, values)]);
}

/** Writes an activation's backward by its rule, from what the rule saves. */
export function writeActivationBackward(writer: EpilogueWriter, node: Node<'activationBackward'>): void {
  const { rule, values } = node.attrs.rule;
  const suffix = `${writer.next}`;
  const [, saved] = node.inputs;
  let z = '';
  let d = 'Values(0.0)';
  if (rule.saves !== 'nothing') {
    if (saved!.dtype !== 'u32') {
      z = `saved${suffix}`;
      writer.body.push(`let ${z} = ${writer.element('z', saved!, 'read')};`);
    }
    d = derivative(writer, node, saved!, z);
  }
  // Two rules, or one at two places, and this file's own functions may call their helpers alike.
  const text = /\balias\s+RuleParams\b/.test(rule.wgsl) ? rule.wgsl : rule.wgsl.replaceAll('RuleParams', 'vec4<f32>');
  writer.functions.push(isolate(text, `_of_rule${suffix}`, { rule: `rule${suffix}` }));
  const value = (slot: number): string => writer.parameter(`rule${suffix}Value${slot}`, 'f32', values[slot] ?? 0);
  writer.body.push(
    `let derivative${suffix} = ${d};`,
    `let seen${suffix} = ${rule.saves === 'input' ? z : 'Values(0.0)'};`,
    `let parameters${suffix} = vec4<f32>(${[0, 1, 2, 3].map(value).join(', ')});`,
    `v = ${writer.call(`rule${suffix}`, ['v', `derivative${suffix}`, `seen${suffix}`], [`parameters${suffix}`])};`,
  );
}

/** Writes a function of one number. */
export function writeUnary(writer: EpilogueWriter, { attrs }: Node<'unary'>): void {
  if (attrs.kind === 'affine') {
    const [scale, shift] = parameterValues(scalarFunction('affine'), attrs.values);
    const number = (value: number): string => writer.parameter(`number${writer.parameters.length}`, 'f32', value);
    const product = scale === 1 ? 'v' : scale === -1 ? '-v' : `v * ${number(scale)}`;
    writer.body.push(`v = ${product}${shift === 0 ? '' : ` + ${number(shift)}`};`);
  } else applyFunction(writer, attrs.kind, attrs.values);
}

/** Writes a gradient times the derivative of a function of one number. */
export function writeUnaryBackward(writer: EpilogueWriter, { attrs, inputs }: Node<'unaryBackward'>): void {
  const z = `saved${writer.next}`;
  writer.body.push(`let ${z} = ${writer.element('z', inputs[1]!, 'read')};`);
  writer.body.push(`v = v * ${functionSlope(writer, attrs.kind, attrs.values, z)};`);
}

/** Writes v = f(a, b), of which one is the value at hand, `incoming`, and the other broadcasts to it, or both are. */
export function writeBinary(writer: EpilogueWriter, node: Node<'binary'>, incoming: Tensor): void {
  const [first, second] = node.inputs as [Tensor, Tensor];
  const text = (a: string, b: string): string => {
    const suffix = `${writer.body.length}`;
    writer.body.push(`let a${suffix} = ${a};`, `let b${suffix} = ${b};`);
    return binaryFunctions[node.attrs.kind].wgsl.replace(/\b([ab])\b/g, `$1${suffix}`);
  };
  const at = (tensor: Tensor): string =>
    tensor === incoming ? 'v' : writer.broadcast('other', tensor, node.outputs[0]!.shape);
  writer.body.push(`v = ${text(at(first), at(second))};`);
}
