import { elementCount, imagePitch, maskRows, pixelCount } from '../graph/types.js';
import type { Tensor } from '../graph/types.js';
import { shaderFragment } from './fragment.js';
import { shaderSource, isProvidedShader } from '../wgsl/link.js';
import { isolate } from '../wgsl/isolate.js';
import { inFours } from './staging.js';
import { bindingBase } from './types.js';
import type { Operand, UniformParameter } from './types.js';

/** The types of the region "epilogue": what `finish` takes at a time, and the mask words of as many pixels. */
export const singleTypes = [
  'alias Values = f32;',
  'alias MaskWords = u32;',
  'const ABREAST = 1u;',
  'fn valuesOf(numbers: vec4f) -> Values { return numbers.x; }',
];
export const inFoursTypes = [
  'alias Values = vec4f;',
  'alias MaskWords = vec4u;',
  'const ABREAST = 4u;',
  'fn valuesOf(numbers: vec4f) -> Values { return numbers; }',
];

/** Collects the text, operands and parameters of an epilogue, giving each a unique name. */
export class EpilogueWriter {
  readonly operands: Operand[] = [];
  readonly parameters: UniformParameter[] = [];
  readonly fields: string[] = [];
  readonly bindings: string[] = [];
  readonly functions: string[] = [];
  readonly body: string[] = [];
  readonly begin: string[] = [];
  readonly end: string[] = [];
  perChannel = true;
  fits = true;
  private readonly helpers = new Set<string>();
  /** Earlier values of the chain that are read again, by the variables that hold them. */
  private readonly held = new Map<Tensor, string>();
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

  /** Keeps the value at hand, which is that of `tensor`, for nodes further on. */
  hold(tensor: Tensor): void {
    const name = `held${this.held.size}`;
    this.held.set(tensor, name);
    this.body.push(`let ${name} = v;`);
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
    const held = access === 'read' ? this.held.get(tensor) : undefined;
    if (held !== undefined) return held;
    this.perChannel = false;
    const { name, at } = this.operand(prefix, tensor, access, true);
    const apart = imagePitch(tensor) - this.pitch;
    if (apart === 0) return this.elementsAt(name, `${at} + at.index`);
    // modulo 2^32, as the shader computes
    return this.elementsAt(name, `${at} + at.index + at.image * ${this.parameter(`${name}Apart`, 'u32', apart >>> 0)}`);
  }

  /**
   * The element at hand of a tensor that broadcasts to `shape`, that of the main output, as axes of size 1 or fewer
   * axes do.
   */
  broadcast(prefix: string, tensor: Tensor, shape: readonly number[]): string {
    if (tensor.shape.length === shape.length && tensor.shape.every((size, axis) => size === shape[axis]))
      return this.element(prefix, tensor, 'read');
    const strides = broadcastStrides(tensor, shape);
    const [image = 0, channel = 0, ...pixels] = strides;
    const sizes = shape.slice(2);
    const along = pixelTerms(sizes, pixels);
    // row-major over all pixels: four neighbors are one vector
    const dense = along.length === 1 && along[0]!.stride === 1 && along[0]!.size === elementCount(sizes);
    if (image !== 0 || along.length > 0) this.perChannel = false;
    if (along.length > 0 && !dense) this.fits = false;
    const { name, at } = this.operand(prefix, tensor, 'read', dense);
    if (dense) this.fits &&= inFours(image, channel);
    const factor = (kind: string, stride: number): string[] =>
      stride === 0 ? [] : [`at.${kind} * ${this.parameter(`${name}${kind}`, 'u32', stride)}`];
    const places = along.map(({ below, size, stride }) => {
      const number = (value: number): string => this.parameter(`${name}Axis${this.parameters.length}`, 'u32', value);
      return dense ? 'at.pixel' : `at.pixel / ${number(below)} % ${number(size)} * ${number(stride)}`;
    });
    const index = [at, ...factor('image', image), ...factor('channel', channel), ...places].join(' + ');
    return dense ? this.elementsAt(name, index) : `Values(${name}[${index}])`;
  }

  /** Defines the functions of a shader file under names that end in `suffix`, and once what the file imports. */
  define(file: string, names: readonly string[], suffix: string): void {
    if (isProvidedShader(file)) {
      // Its helpers may be called as those of another text, or as its own in another place.
      const renames = Object.fromEntries(names.map((name) => [name, `${name}${suffix}`]));
      this.functions.push(isolate(shaderSource(file), `_of_function${suffix}`, renames));
      return;
    }
    const renamed = names.reduce(
      (text, name) => text.replace(new RegExp(`\\bfn ${name}\\b`), `fn ${name}${suffix}`),
      shaderFragment(file),
    );
    this.import(file);
    this.functions.push(renamed);
  }

  private import(file: string): void {
    for (const [, path] of shaderSource(file).matchAll(/^\/\/#import "([^"]+)\.wgsl"$/gm)) {
      if (this.helpers.has(path!)) continue;
      this.helpers.add(path!);
      this.import(path!);
      this.functions.push(shaderFragment(path!));
    }
  }

  /** Calls a function of single numbers: for each of the values at hand, which `over` names, and with shared ones. */
  call(name: string, over: readonly string[], shared: readonly string[]): string {
    if (!this.fours) return `${name}(${[...over, ...shared].join(', ')})`;
    const calls = ['x', 'y', 'z', 'w'].map(
      (part) => `${name}(${[...over.map((values) => `${values}.${part}`), ...shared].join(', ')})`,
    );
    return `vec4f(${calls.join(', ')})`;
  }

  /** A number that no other part of the epilogue has, to end names in. */
  get next(): number {
    return this.functions.length;
  }

  parameter(name: string, type: UniformParameter['type'], value: number): string {
    this.parameters.push({ name, type, value });
    this.fields.push(`  ${name}: ${type},`);
    return `p.${name}`;
  }
}

/** Words of the packed mask that hold the channels of the pixels at hand from `firstChannel` on. */
export const maskWords = (
  writer: EpilogueWriter,
  operand: { name: string; at: string },
  rows: string,
  pixels: string,
): string =>
  writer.elementsAt(
    operand.name,
    `${operand.at} + (image * ${rows} + firstChannel / ${maskRows}u) * ${pixels} + pixel`,
  );

/** Elements from one place along each axis of `shape` to the next in a tensor that broadcasts to it; 0 for none. */
export function broadcastStrides(tensor: Tensor, shape: readonly number[]): number[] {
  const missing = shape.length - tensor.shape.length;
  const strides = shape.map(() => 0);
  let stride = 1;
  for (let axis = tensor.shape.length - 1; axis >= 0; axis--) {
    const size = tensor.shape[axis]!;
    if (size > 1) strides[axis + missing] = axis === 0 ? imagePitch(tensor) : stride;
    stride *= size;
  }
  return strides;
}

/** A run of neighboring pixel axes: pixels below it, its size, and the stride of the operand along it. */
interface PixelTerm {
  readonly below: number;
  readonly size: number;
  readonly stride: number;
}

/** How a pixel's number gives the place in an operand: its axes, those that continue each other joined. */
function pixelTerms(sizes: readonly number[], strides: readonly number[]): PixelTerm[] {
  const terms: PixelTerm[] = [];
  let below = 1;
  for (let axis = sizes.length - 1; axis >= 0; axis--) {
    const [size, stride] = [sizes[axis]!, strides[axis]!];
    const last = terms.at(-1);
    if (stride !== 0 && last !== undefined && last.below * last.size === below && last.stride * last.size === stride)
      terms[terms.length - 1] = { ...last, size: last.size * size };
    else if (stride !== 0) terms.push({ below, size, stride });
    below *= size;
  }
  return terms;
}
