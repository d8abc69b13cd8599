import { expectFunction, expectList, expectMembers, expectOneOf, expectTensor } from '../arguments.js';
import { check, LinbpError } from '../errors.js';
import { quotedValue } from '../quote.js';
import { opTable } from '../ops/table.js';
import { opTraits } from '../ops/traits.js';
import type { GraphBuilder, NodeScope } from './builder.js';
import { elementCount, imagePitch, maskShape, pixelCount } from './types.js';
import type { DType, Node, OpAttrs, OpName, Precision, Region, Tensor, TensorKind } from './types.js';

/** Ops that graphs of earlier versions call otherwise. */
const formerNames: Readonly<Record<string, string>> = { relu: 'activation', reluBackward: 'activationBackward' };

/**
 * A program's computation: typed nodes over static shapes, in the order they were added, which is a valid order to run.
 * Nodes belong to segments, which a program repeats and composes.
 */
export class Graph implements GraphBuilder {
  readonly nodes: Node[] = [];
  readonly tensors: Tensor[] = [];
  /** Parts that backward rules may act on as a whole, such as residual branches. */
  readonly regions: Region[] = [];
  /** Tensors the caller wants to read after a run, by name. */
  readonly outputs = new Map<string, Tensor>();
  /** Values that states hold before the first run; others begin with zeros. */
  readonly initial = new Map<Tensor, Float32Array | Uint32Array>();
  /** The same in float64 where a caller gave them so: what the reference computes with. */
  readonly exact = new Map<Tensor, readonly number[]>();
  /** How values are stored, once the graph has been compiled. */
  precision: Precision | undefined;
  private current: NodeScope = { segment: 'main', layer: '', direction: 'forward', rule: '' };

  /** Runs `body` with parts of the scope replaced; nodes added inside get that segment, layer, direction and rule. */
  scope<T>(scope: Partial<NodeScope>, body: () => T): T {
    expectFunction(body, 'body');
    const outer = this.current;
    this.current = { ...outer, ...scope };
    try {
      return body();
    } finally {
      this.current = outer;
    }
  }

  /** The scope that new nodes get now. */
  get currentScope(): NodeScope {
    return this.current;
  }

  /** A tensor the caller binds for every run, such as images or labels. */
  input(name: string, shape: readonly number[], dtype: DType = 'f32'): Tensor {
    return this.tensor(name, shape, dtype, 'input');
  }

  /** A learnable tensor; it lives in the model's parameter store. */
  parameter(name: string, shape: readonly number[]): Tensor {
    return this.tensor(name, shape, 'f32', 'parameter');
  }

  /** A tensor that persists between steps and runs, such as momentum or an attack's iterate. */
  state(name: string, shape: readonly number[], dtype: DType = 'f32'): Tensor {
    return this.tensor(name, shape, dtype, 'state');
  }

  /** A contiguous window of `base`, `offset` elements in, seen as `shape`. */
  window(base: Tensor, offset: number, shape: readonly number[], name: string): Tensor {
    expectTensor(base);
    expectList(shape, 'shape');
    check(
      offset >= 0 && offset + elementCount(shape) <= elementCount(base.shape),
      'bad-shape',
      `window ${name}: ${elementCount(shape)} elements at ` +
        `${offset} do not fit into ${base.name} [${base.shape.join(', ')}]`,
      name,
    );
    const tensor = this.tensor(name, shape, base.dtype, base.kind);
    tensor.view = { base, offset };
    return tensor;
  }

  /** A state that holds `values` from the start, such as the mean and deviation of an input normalization. */
  constant(name: string, values: readonly number[], given?: readonly number[]): Tensor {
    expectList(values, name);
    const shape = given ?? [values.length];
    const tensor = this.state(name, shape);
    check(
      values.length === elementCount(shape),
      'bad-shape',
      `${name} [${shape.join(', ')}] got ${values.length} values`,
      name,
    );
    this.initial.set(tensor, Float32Array.from(values));
    this.exact.set(tensor, values);
    return tensor;
  }

  /** A u32 state that holds `values` from the start, such as the indices of a gather. */
  integers(name: string, values: readonly number[]): Tensor {
    expectList(values, name);
    const tensor = this.state(name, [values.length], 'u32');
    this.initial.set(tensor, Uint32Array.from(values));
    return tensor;
  }

  /** The values that a state holds from the start, where it was given any. */
  valuesOf(tensor: Tensor): Float32Array | Uint32Array | undefined {
    return this.initial.get(tensor);
  }

  /** Marks a tensor to be kept for reading after a run. */
  output(name: string, tensor: Tensor): void {
    check(!this.outputs.has(name), 'bad-argument', `the graph already has an output named "${name}"`, name);
    this.outputs.set(name, tensor);
  }

  /** Adds a node and returns its outputs. Throws `bad-shape` or `bad-dtype` when the inputs do not fit the op. */
  add<K extends OpName>(
    name: K,
    inputs: readonly Tensor[],
    attrs: OpAttrs[K],
    names: readonly string[] = [],
  ): Tensor[] {
    const op = (Object.hasOwn(formerNames, name) ? formerNames[name] : name) as K;
    const definition = opTable[op];
    check(definition !== undefined, 'unknown-option', `there is no op "${String(op)}"`, 'op');
    const { layer } = this.current;
    const where = `${op}${layer === '' ? '' : ` (${layer})`}`;
    let specs;
    try {
      specs = definition.infer(inputs, attrs);
    } catch (error) {
      if (error instanceof LinbpError)
        throw new LinbpError(error.code, `${where}: ${error.message}`, { field: layer || op, cause: error });
      throw error;
    }
    const id = this.nodes.length;
    const outputs = specs.map((spec, index) => {
      const suffix = specs.length > 1 ? `.${index}` : '';
      return this.tensor(
        names[index] ?? `${layer === '' ? op : `${layer}.${op}`}${suffix}`,
        spec.shape,
        spec.dtype,
        'value',
      );
    });
    const node: Node<K> = {
      id,
      op,
      attrs,
      inputs: [...inputs],
      outputs,
      mutates: definition.mutates?.(attrs) ?? [],
      ...this.current,
    };
    for (const output of outputs) output.producer = node as unknown as Node;
    this.nodes.push(node as unknown as Node);
    if (opTraits[op].view) outputs[0]!.view = { base: inputs[0]!, offset: 0 };
    return outputs;
  }

  /** {@link add} for ops with one output. */
  one<K extends OpName>(op: K, inputs: readonly Tensor[], attrs: OpAttrs[K], name?: string): Tensor {
    return this.add(op, inputs, attrs, name === undefined ? [] : [name])[0]!;
  }

  /**
   * The packed mask of an activation, which its node begins to write if it did not before. The node is replaced in
   * place by one that differs in this only, so that a mask exists just where some backward rule reads it.
   */
  addMask(node: Node<'activation'>): Tensor {
    expectMembers(node, 'node', { outputs: 'list' });
    const output = node.outputs[0]!;
    // The node at hand may have been replaced already.
    const current = output.producer as unknown as Node<'activation'>;
    if (current.outputs[1] !== undefined) return current.outputs[1];
    const mask = this.tensor(`${output.name}.mask`, maskShape(output.shape), 'u32', 'value');
    const upgraded: Node<'activation'> = {
      ...current,
      attrs: { ...current.attrs, mask: true },
      outputs: [output, mask],
    };
    this.nodes[this.nodes.indexOf(current as unknown as Node)] = upgraded as unknown as Node;
    output.producer = mask.producer = upgraded as unknown as Node;
    return mask;
  }

  private tensor(name: string, shape: readonly number[], dtype: DType, kind: TensorKind): Tensor {
    expectOneOf(dtype, ['f32', 'f16', 'u32'], 'dtype');
    check(
      Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size > 0),
      'bad-shape',
      `${name}: every size of a shape must be a positive integer, got ${quotedValue(shape)}`,
      name,
    );
    const tensor: Tensor = {
      id: this.tensors.length,
      name,
      shape: [...shape],
      dtype,
      kind,
      producer: undefined,
      view: undefined,
    };
    this.tensors.push(tensor);
    return tensor;
  }
}

/** `part` in another place: the channels of `base` from `first` on. */
export function channelWindow(part: Tensor, base: Tensor, first: number): Tensor {
  return { ...part, view: { base, offset: first * pixelCount(part.shape), pitch: imagePitch(base) } };
}

/** The tensor whose memory `tensor` uses, and the offset into it in elements. */
export function resolveView(tensor: Tensor): { root: Tensor; offset: number } {
  let root = tensor;
  let offset = 0;
  while (root.view !== undefined) {
    offset += root.view.offset;
    root = root.view.base;
  }
  return { root, offset };
}
